"""Compiled functions where their code cannot be kept."""

from __future__ import annotations

import pytest
from numba.core import caching

from severstal import compiler


@pytest.mark.parametrize("can_be_kept", [True, False])
def test_a_function_is_compiled_whether_or_not_its_code_can_be_kept(monkeypatch, caplog, can_be_kept) -> None:
    compiler._say_once.cache_clear()
    if not can_be_kept:
        monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])

    @compiler.compiled()
    def double(number: int) -> int:
        return 2 * number

    @compiler.compiled()
    def triple(number: int) -> int:
        return 3 * number

    assert (double(4), triple(4)) == (8, 12)
    assert caplog.text.count("NUMBA_CACHE_DIR=DIR") == (0 if can_be_kept else 1)
