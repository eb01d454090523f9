"""A submission to a code competition with Kaggle's real client against a stand-in: data set, notebook, score."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest
from support.commands import check_error
from support.kaggle_stages import VALID
from support.kaggle_stand_in import USER

from severstal.artifacts import write_json
from severstal.kaggle import package
from severstal.paths import Paths


@pytest.fixture
def packaged(tmp_path) -> Paths:
    """A small package: these tests check what the client sends."""
    paths = Paths.under(tmp_path)
    dataset = paths.kaggle_dataset
    for file, text in (("code/predict.py", "print()"), ("folds/recipe.json", "{}"), ("package.json", "{}")):
        (dataset / file).parent.mkdir(parents=True, exist_ok=True)
        (dataset / file).write_text(text)
    owner = package.OWNER
    metadata = {
        "title": "Severstal networks",
        "id": f"{owner}/severstal-networks",
        "licenses": [{"name": "apache-2.0"}],
    }
    write_json(dataset / "dataset-metadata.json", metadata)
    package.write_kernel(paths.kaggle_kernel, owner)
    return paths


@pytest.fixture
def submit(runner, site, packaged) -> Callable[..., CompletedProcess[str]]:
    """Run ``submit --notebook`` to its end."""

    def run(*arguments: str, credentials: dict[str, str] = VALID) -> CompletedProcess[str]:
        return runner.run("submit", site.url, packaged, "--notebook", *arguments, **credentials)

    return run


def test_a_first_submission_uploads_both_folders_and_ends_with_the_score(submit, site) -> None:
    ended = submit("--message", "four encoders")
    assert ended.returncode == 0, ended
    for line in ("data set: ready", "notebook: running", "notebook: complete", "public score 0.91234"):
        assert line in ended.stdout
    ((call, dataset),) = site.datasets
    assert call == "create"
    assert (dataset["ownerSlug"], dataset["slug"], dataset["isPrivate"]) == (USER, "severstal-networks", True)
    assert {file["token"] for file in dataset["files"]} == {
        "blob of code.zip",
        "blob of folds.zip",
        "blob of package.json",
    }
    archives = [zipfile.ZipFile(io.BytesIO(blob)).namelist() for blob in site.uploads if blob[:2] == b"PK"]
    assert sorted(name for names in archives for name in names) == ["predict.py", "recipe.json"]
    (notebook,) = site.kernels
    assert notebook["slug"] == f"{USER}/severstal-inference"
    assert (notebook["enableInternet"], notebook["enableGpu"], notebook["isPrivate"]) == (False, True, True)
    assert notebook["datasetDataSources"] == [f"{USER}/severstal-networks"]
    assert notebook["competitionDataSources"] == ["severstal-steel-defect-detection"]
    assert "predict(" in notebook["text"]
    (submission,) = site.code_submissions
    assert (submission["kernelOwner"], submission["kernelSlug"], submission["kernelVersion"]) == (
        USER, "severstal-inference", 1,
    )  # fmt: skip
    assert (submission["fileName"], submission["submissionDescription"]) == ("submission.csv", "four encoders")


def test_a_second_submission_makes_a_new_version(submit, site) -> None:
    assert submit().returncode == 0
    ended = submit("--message", "longer")
    assert ended.returncode == 0, ended
    assert [call for call, _ in site.datasets] == ["create", "version"]
    assert site.datasets[1][1]["body"]["versionNotes"] == "longer"
    assert [body["kernelVersion"] for body in site.code_submissions] == [1, 2]


def test_a_notebook_that_fails_on_kaggle_is_an_error_and_nothing_is_submitted(submit, site) -> None:
    site.kernel_states[:] = ["RUNNING", "ERROR"]
    check_error(submit(), "notebook ended with 'error': the notebook ran into an error")
    assert site.code_submissions == []


def test_a_submission_that_kaggle_cannot_score_is_an_error(submit, site) -> None:
    site.score_states[:] = ["PENDING", "ERROR"]
    check_error(submit(), "score ended with 'error': Submission CSV Not Found")


def test_a_competition_that_cannot_be_attached_is_an_error_with_its_rules(submit, site) -> None:
    site.kernel_answer = {"invalidCompetitionSources": ["severstal-steel-defect-detection"]}
    check_error(submit(), "could not attach severstal-steel-defect-detection", "/rules")
    site.kernel_answer = {"error": "Notebook title is taken"}
    check_error(submit(), "did not take the notebook", "Notebook title is taken")
    assert site.code_submissions == []


def test_a_data_set_that_kaggle_cannot_unpack_is_an_error(submit, site) -> None:
    site.dataset_states[:] = ["FAILED"]
    check_error(submit(), "data set ended with 'failed'")
    assert site.kernels == []


def test_a_missing_token_or_package_is_an_error_with_its_cure(submit, packaged) -> None:
    check_error(submit(credentials={}), "no Kaggle token found", "settings/api")
    (packaged.kaggle_kernel / "kernel-metadata.json").unlink()
    check_error(submit(), "kernel-metadata.json is missing", "bash bin/package_kaggle.sh")


def test_a_dry_run_prints_the_upload_and_needs_no_network(submit, packaged) -> None:
    output = submit("--dry-run", credentials={}).stdout
    for part in ("code/ as a zip", "GPU on, internet off", "kaggle kernels push", "nothing was uploaded"):
        assert part in output
    assert json.loads((packaged.kaggle_kernel / "kernel-metadata.json").read_text())["id"].startswith("OWNER/")


def test_a_submission_for_synthetic_steel_is_refused(packaged, submit, site) -> None:
    packaged.input.mkdir()
    packaged.synthetic_marker.write_text("{}")
    check_error(submit(), "synthetic steel, which Kaggle cannot score")
    assert site.datasets == []
