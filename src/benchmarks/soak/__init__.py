"""Soak tests: random harm to a small experiment, for as long as one lets them run; ``bash bin/soak.sh``.

A check is a module with a function ``attempt(run, seed)`` that raises :class:`benchmarks.soak.small_run.Failure`, and a
line in ``CHECKS`` of ``__main__.py``. An attempt is decided by its seed alone, so a failure can be repeated.
"""
