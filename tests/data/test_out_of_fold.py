"""Out-of-fold maps on disk: a damaged file is an error that says what to do."""

from __future__ import annotations

import zipfile

import pytest

from severstal.data import out_of_fold
from severstal.errors import InputError


def test_a_file_without_class_probabilities_is_refused(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "oof.npz", "w") as archive:
        archive.writestr(out_of_fold.META, "{}")
    with pytest.raises(InputError, match=r"damaged.*run `train`"):
        out_of_fold.FoldMaps(tmp_path / "oof.npz", "train")
