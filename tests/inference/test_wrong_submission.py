"""A submission that Kaggle would not take is refused with its line, and is not uploaded."""

from __future__ import annotations

import pytest
from support.commands import run_refused
from support.experiments import write_tiny_strips

from severstal.errors import InputError
from severstal.inference import submission

FIRST_STRIP = f"{0:09x}.jpg"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: ["ImageId,ClassId,EncodedPixels", *lines[1:]], "line 1: the header"),
        (lambda lines: lines[:-1], r"no row for image b.jpg, class 4 .*bash bin/predict\.sh"),
        (lambda lines: [*lines, "c.jpg,,1"], "line 10: 'c.jpg' is not a strip"),
        (lambda lines: [*lines, lines[-1]], "line 10.*has a row already"),
        (lambda lines: [*lines[:-1], "b.jpg,1 3 2 2,4"], "line 9.*overlaps"),
        (lambda lines: [*lines[:-1], "b.jpg,,0"], "line 9: class '0'"),
    ],
)
def test_a_wrong_submission_is_refused_with_its_line(tmp_path, change, message) -> None:
    file, form = tmp_path / "submission.csv", submission.Form(["a.jpg", "b.jpg"], submission.DEFAULT_COLUMNS)
    submission.write(file, form, {"a.jpg": ["1 2", "", "", ""], "b.jpg": ["", "", "", ""]})
    submission.check(file, form, 4, 5)
    file.write_text("\n".join(change(file.read_text().splitlines())) + "\n")
    with pytest.raises(InputError, match=message):
        submission.check(file, form, 4, 5)


def test_a_missing_or_incomplete_submission_is_not_uploaded(tiny) -> None:
    write_tiny_strips(tiny.test_images, 2)
    assert f"{tiny.submission} is missing: make it with `bash bin/predict.sh " in run_refused(
        "submit", tiny, "--dry-run"
    )
    tiny.submissions.mkdir()
    tiny.submission.write_text(f"ImageId,EncodedPixels,ClassId\n{FIRST_STRIP},1 2 2 2,1\n")
    assert f"{tiny.submission} has no row for image {FIRST_STRIP}, class 2 (7 such rows)" in run_refused(
        "submit", tiny, "--dry-run"
    )


def test_test_strips_and_sample_submission_must_name_the_same_strips(tiny) -> None:
    write_tiny_strips(tiny.test_images, 2)
    tiny.sample_submission.write_text(f"ImageId,EncodedPixels,ClassId\n{FIRST_STRIP},1 1,0\n")
    with pytest.raises(InputError, match=r"is not in .*sample_submission"):
        submission.form_of(tiny)
    tiny.sample_submission.write_text(
        f"ImageId,EncodedPixels,ClassId\n{FIRST_STRIP},1 1,0\n{1:09x}.jpg,1 1,0\ngone.jpg,1 1,0\n"
    )
    with pytest.raises(InputError, match=r"line 4: 'gone\.jpg' is not in"):
        submission.form_of(tiny)
