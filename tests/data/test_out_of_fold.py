"""Out-of-fold maps on disk: a damaged file is an error that says what to do."""

from __future__ import annotations

import time
import weakref
import zipfile
from collections.abc import Iterator

import numpy as np
import pytest
from support.files import cut_in_half

from severstal.data import out_of_fold
from severstal.errors import InputError


def test_a_file_without_class_probabilities_is_refused(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "oof.npz", "w") as archive:
        archive.writestr(out_of_fold.META, "{}")
    with pytest.raises(InputError, match=r"damaged.*run `train`"):
        out_of_fold.FoldMaps(tmp_path / "oof.npz", "train")


NO_CLASS = np.zeros(4, dtype=np.uint8)  # class probabilities of a network without a classifier


def test_a_file_that_was_cut_short_is_refused(tmp_path) -> None:
    out_of_fold.write(tmp_path / "oof.npz", [("a.jpg", np.zeros((4, 2, 2), dtype=np.uint8), NO_CLASS)], {})
    cut_in_half(tmp_path / "oof.npz")
    with pytest.raises(InputError, match=r"oof\.npz.*delete.*run `train`"):
        out_of_fold.FoldMaps(tmp_path / "oof.npz", "train")


def test_a_flipped_bit_in_a_map_is_found_when_the_map_is_read(tmp_path) -> None:
    file, noise = tmp_path / "oof.npz", np.random.default_rng(0).integers(0, 255, (4, 32, 32), dtype=np.uint8)
    out_of_fold.write(file, [("a.jpg", noise, NO_CLASS)], {})
    intact = file.read_bytes()
    for place in range(100, 3000, 100):  # all within the strip's map
        file.write_bytes(intact[:place] + bytes([intact[place] ^ 0x55]) + intact[place + 1 :])
        with pytest.raises(InputError, match=r"a\.jpg.*delete the file and run `train`"):
            out_of_fold.FoldMaps(file, "train")["a.jpg"]


def test_equal_maps_give_equal_files_whatever_the_clock_says(tmp_path, monkeypatch) -> None:
    strip = ("a.jpg", np.zeros((4, 2, 2), dtype=np.uint8), NO_CLASS)
    for name, seconds in (("now", 1.8e9), ("1970", 1000.0)):
        monkeypatch.setattr("time.time", lambda seconds=seconds: seconds)
        monkeypatch.setattr("time.localtime", lambda _=None, seconds=seconds: time.gmtime(seconds))
        out_of_fold.write(tmp_path / name, [strip], {"weights": "w"})
    assert (tmp_path / "now").read_bytes() == (tmp_path / "1970").read_bytes()


def test_nothing_of_a_strip_stays_in_memory_when_it_is_written(tmp_path) -> None:
    """Four bytes that stayed of each strip kept the memory around them from being used again."""
    references: list[weakref.ref] = []

    def predictions() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        for number in range(4):
            arrays = np.full((4, 2, 2), number, dtype=np.uint8), np.full(4, number, dtype=np.uint8)
            references.extend(map(weakref.ref, arrays))
            yield f"{number}.jpg", *arrays
            assert all(reference() is None for reference in references[: 2 * number])

    assert out_of_fold.write(tmp_path / "oof.npz", predictions(), {}) == 4
    assert out_of_fold.FoldMaps(tmp_path / "oof.npz", "train").class_probability("3.jpg").tolist() == [3, 3, 3, 3]


def test_a_file_that_lacks_a_strip_or_has_one_twice_is_refused(tmp_path) -> None:
    strip = ("a.jpg", np.zeros((4, 2, 2), dtype=np.uint8), NO_CLASS)
    out_of_fold.write(tmp_path / "oof.npz", [strip], {})
    with pytest.raises(InputError, match=r"lacks b\.jpg.*run `train`"):
        out_of_fold.FoldMaps(tmp_path / "oof.npz", "train")["b.jpg"]
    with pytest.warns(UserWarning, match="Duplicate name"):
        out_of_fold.write(tmp_path / "oof.npz", [strip, strip], {})
    with pytest.raises(InputError, match="twice"):
        out_of_fold.FoldMaps(tmp_path / "oof.npz", "train")
