"""Upload of a submission file, with Kaggle's real client against a stand-in."""

from __future__ import annotations

from collections.abc import Callable
from subprocess import CompletedProcess

import pandas as pd
import pytest
from support.commands import check_error
from support.experiments import write_tiny_strips
from support.kaggle_stages import VALID

from severstal.errors import InputError
from severstal.kaggle.file_submission import submit_file
from severstal.paths import Paths


@pytest.fixture
def paths(tmp_path) -> Paths:
    """One test strip and a valid submission."""
    paths = Paths.under(tmp_path)
    write_tiny_strips(paths.test_images, 1)
    paths.submissions.mkdir()
    rows = [{"ImageId": f"{0:09x}.jpg", "EncodedPixels": "", "ClassId": defect} for defect in (1, 2, 3, 4)]
    for file in (paths.sample_submission, paths.submission):
        pd.DataFrame(rows).to_csv(file, index=False)
    return paths


@pytest.fixture
def submit(runner, site, paths) -> Callable[[], CompletedProcess[str]]:
    """Run ``submit`` to its end."""
    return lambda: runner.run("submit", site.url, paths, "--message", "three folds", **VALID)


def test_a_valid_file_is_uploaded_with_its_message(site, submit, paths) -> None:
    ended = submit()
    assert ended.returncode == 0, ended.stderr
    assert "Successfully submitted to Severstal" in ended.stdout
    assert "/submissions" in ended.stdout
    assert site.uploads == [paths.submission.read_bytes()]
    assert site.submissions == [
        {
            "competitionName": "severstal-steel-defect-detection",
            "blobFileTokens": f"blob of {paths.submission.stat().st_size}",
            "submissionDescription": "three folds",
        }
    ]


def test_a_code_competition_that_refuses_files_leads_to_the_notebook(site, submit) -> None:
    message = "This competition only accepts Submissions from Notebooks"
    site.refusal = (400, message)
    check_error(submit(), f"400: {message}", "code competition", "bin/submit.sh --notebook")


def test_an_upload_that_fails_is_an_error_and_nothing_is_submitted(site, submit) -> None:
    site.upload_status = 500
    check_error(submit(), "submission.csv did not reach Kaggle")
    assert site.submissions == []


def test_a_missing_file_is_an_error(tmp_path) -> None:
    with pytest.raises(InputError, match=r"none\.csv is missing or empty"):
        submit_file(tmp_path / "none.csv", "nothing")
