"""Submissions in both forms: what is written passes the check, and reads back as the masks it came from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.experiments import write_tiny_strips

from severstal.commands import command
from severstal.data.tables import read_table
from severstal.inference import submission
from severstal.inference.submission import Form
from severstal.paths import Paths

IMAGES = ["a.jpg", "b.jpg"]
CODES = {"a.jpg": ["1 3", "", "10 2", ""], "b.jpg": ["", "", "", "2 5"]}
FOUND = [["1 2", "", "", ""], ["3 4", "", "", ""]]  # codes of two strips
FORMS = [
    ["ImageId", "EncodedPixels", "ClassId"],
    ["ImageId", "ClassId", "EncodedPixels"],
    ["ImageId_ClassId", "EncodedPixels"],
]


@pytest.mark.parametrize("columns", FORMS, ids=lambda columns: ",".join(columns))
def test_written_in_the_samples_form_it_passes_the_check(tmp_path, columns) -> None:
    form, file = Form(IMAGES, columns), tmp_path / "submission.csv"
    submission.write(file, form, CODES)
    assert file.read_text().splitlines()[0] == ",".join(columns)
    assert len(file.read_text().splitlines()) == 1 + 4 * len(IMAGES)
    rows = {(image, int(defect)): code for image, defect, code in read_table(file).rows}
    assert rows == {(image, d): CODES[image][d - 1] for image in IMAGES for d in (1, 2, 3, 4)}
    counts = submission.check(file, form, 4, 5)
    assert counts == submission.Counts(2, (1, 0, 1, 1), 0)


def test_pixels_of_two_classes_are_counted(tmp_path) -> None:
    form, file = Form(["a.jpg"], FORMS[0]), tmp_path / "submission.csv"
    submission.write(file, form, {"a.jpg": ["1 3", "3 2", "", "3 1"]})
    assert submission.check(file, form, 4, 5).shared_pixels == 1


def test_the_form_is_that_of_either_sample(tiny) -> None:
    images = [f"{number:09x}.jpg" for number in range(3)]
    write_tiny_strips(tiny.test_images, 3)
    assert submission.form_of(tiny) == Form(images, submission.DEFAULT_COLUMNS)
    current = pd.DataFrame({"ImageId": images, "EncodedPixels": "1 409600", "ClassId": 0})
    current.to_csv(tiny.sample_submission, index=False)
    assert submission.form_of(tiny) == Form(images, ["ImageId", "EncodedPixels", "ClassId"])
    rows = [f"{image}_{defect}" for image in reversed(images) for defect in (1, 2, 3, 4)]
    pd.DataFrame({"ImageId_ClassId": rows, "EncodedPixels": "1 1"}).to_csv(tiny.sample_submission, index=False)
    assert submission.form_of(tiny) == Form(images[::-1], ["ImageId_ClassId", "EncodedPixels"])


def test_shares_are_those_of_the_competition() -> None:
    counts = np.array([897, 247, 5150, 801])
    assert np.allclose(submission.TRAINING_SHARES, counts / 12568, atol=1e-4)


@pytest.mark.parametrize(
    ("codes", "occurring", "expected"),
    [
        (FOUND, [1], []),
        ([["", "", "", ""]] * 2, [1, 3], ["no defect is predicted on any of 2 strips"]),
        ([["", "", "", ""]] * 2, [], []),
        (
            [["1 2", "", "", ""], ["3 4", "", "", ""]],
            [1, 3],
            ["class 3 is on no strip, though training strips show it"],
        ),
        ([["1 64", "", "", ""]] * 2, [1], ["class 1 has the same mask on every strip"]),
    ],
    ids=["sound", "nothing", "nothing to find", "a class that is never found", "one constant"],
)
def test_a_submission_that_cannot_be_meant_is_not_silent(tmp_path, codes, occurring, expected) -> None:
    form = Form(["a.jpg", "b.jpg"], submission.DEFAULT_COLUMNS)
    submission.write(tmp_path / "s.csv", form, dict(zip(form.images, codes, strict=True)))
    warnings = submission.check(tmp_path / "s.csv", form, 8, 8).warnings(occurring, Paths(folds=tmp_path))
    assert [warning.split(":")[0] for warning in warnings] == expected
    assert all(command(Paths(folds=tmp_path), "report") in warning for warning in warnings)
