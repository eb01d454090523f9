"""The training set: a split that is not of its strips is an error that names the file."""

from __future__ import annotations

import pytest

from severstal.data.training_set import read_training_set
from severstal.errors import InputError

FIRST_STRIP = f"{0:09x}.jpg"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("fold,", "group,", 1), "cannot be read|columns must be"),
        (lambda text: text + text.splitlines()[1] + "\n", "has a row already"),
        (lambda text: "\n".join(text.splitlines()[:-1]) + "\n", "lacks"),
        (lambda text: text.replace(FIRST_STRIP, "other.jpg"), "lacks|names other.jpg"),
        (lambda text: text.replace(",0,", ",x,", 1), "cannot be read"),
    ],
)
def test_a_split_of_other_strips_is_refused(tiny, change, message) -> None:
    tiny.folds_csv.write_text(change(tiny.folds_csv.read_text()))
    with pytest.raises(InputError, match=message) as error:
        read_training_set(tiny)
    assert str(tiny.folds_csv) in str(error.value)
