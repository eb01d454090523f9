"""The steps of ``bash bin/gpu_check.sh``: each is a module that runs in a process of its own.

It ends by printing one line of JSON: figures by name, and ``summary``, its cell in the table. ``plan.py`` lists the
steps, ``steps.py`` runs them.
"""
