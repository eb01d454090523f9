"""Compiled functions: numba's, whose machine code is kept on the disk where it can be.

numba keeps it beside the source or in the user's cache folder, and raises an error where neither can be written to: in
a container with ``--read-only`` or ``--user``, or in an installation that several users share.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

from numba import njit

logger = logging.getLogger(__name__)


def compiled(**options: Any) -> Callable[[Callable], Any]:
    """Decorator of a function that numba compiles and that lets other threads run.

    Args:
        options: of :func:`numba.njit`.
    """

    def decorate(function: Callable) -> Any:
        dispatcher = njit(nogil=True, **options)(function)
        try:
            dispatcher.enable_caching()
        except RuntimeError:  # "no locator available"
            _say_once()
        return dispatcher

    return decorate


@cache
def _say_once() -> None:
    logger.warning(
        "compiled code cannot be kept, as neither this installation nor the user's cache folder can be written to: "
        "every process compiles anew, which takes seconds; NUMBA_CACHE_DIR=DIR names a folder for it"
    )
