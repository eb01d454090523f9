"""Prediction of any number of images in folders or object storage, on Ray Data.

``storage`` reads and writes objects, ``sources`` lists images, ``manifest`` fixes the shards, ``shards`` predicts one,
``rows`` is its table, ``worker`` runs in Ray's actors, ``pipeline`` drives them, ``run`` is the whole run, and
``result`` reads what was written. pyarrow and Ray come with ``bash bin/setup.sh --cluster``; only ``cluster``,
``pipeline`` and ``worker`` import Ray.
"""
