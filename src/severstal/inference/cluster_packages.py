"""Whether Ray and pyarrow are installed: an extra, which most uses do without."""

from __future__ import annotations

import importlib.util

from severstal.errors import InputError

PACKAGES = ("ray", "pyarrow")


def check_cluster_packages() -> None:
    """Raise an :class:`InputError` that names the command which installs them, if one is missing."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"{' and '.join(missing)} not installed: run `bash bin/setup.sh --cluster`")
