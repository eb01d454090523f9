"""The way of a code competition with Kaggle's real client against a stand-in: data set, notebook, submission, score."""

from __future__ import annotations

import io
import json
import subprocess
import zipfile

import pytest
from support.commands import arguments_of, run_stage_alone
from support.kaggle_stand_in import COUNTS, ROOT, TOKEN, USER, StandIn, check_error, ended, start_stage

from severstal.artifacts import write_json
from severstal.kaggle import package
from severstal.paths import Paths

GOOD = {"KAGGLE_API_TOKEN": TOKEN}


@pytest.fixture
def site():
    with StandIn() as made:
        yield made


@pytest.fixture
def packaged(tmp_path) -> Paths:
    """A package of next to nothing: what the client sends is the point here."""
    paths = Paths(tmp_path / "input", tmp_path / "folds", tmp_path / "submissions")
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
def submit(packaged, tmp_path, site):
    """``submit.sh --notebook`` to its end: exit code, stdout, stderr."""
    (tmp_path / "home").mkdir()

    def run(*arguments: str, **env: str) -> tuple[int, str, str]:
        given = [*arguments_of(packaged), "--notebook", *arguments]
        stage: subprocess.Popen = start_stage(
            site.url, tmp_path / "home", ROOT / "src/submit.py", *given, counts=COUNTS, **(env or GOOD)
        )
        return ended(stage)

    return run


def test_a_first_submission_from_the_folders_to_the_score(submit, site, packaged) -> None:
    code, out, err = submit("--message", "four encoders")
    assert code == 0, out + err
    for line in ("data set: ready", "notebook: running", "notebook: complete", "public score 0.91234"):
        assert line in out
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
    assert "kernel.predict(" in notebook["text"]
    (submission,) = site.code_submissions
    assert (submission["kernelOwner"], submission["kernelSlug"], submission["kernelVersion"]) == (
        USER, "severstal-inference", 1,
    )  # fmt: skip
    assert (submission["fileName"], submission["submissionDescription"]) == ("submission.csv", "four encoders")


def test_a_second_one_is_a_new_version(submit, site) -> None:
    assert submit()[0] == 0
    code, out, err = submit("--message", "longer")
    assert code == 0, out + err
    assert [call for call, _ in site.datasets] == ["create", "version"]
    assert site.datasets[1][1]["body"]["versionNotes"] == "longer"
    assert [body["kernelVersion"] for body in site.code_submissions] == [1, 2]


def test_what_fails_on_kaggle_is_told_and_nothing_is_submitted(submit, site) -> None:
    site.kernel_states[:] = ["RUNNING", "ERROR"]
    check_error(submit(), "notebook ended with 'error': the notebook ran into an error")
    assert site.code_submissions == []


def test_a_submission_without_a_score_is_told(submit, site) -> None:
    site.score_states[:] = ["PENDING", "ERROR"]
    check_error(submit(), "score ended with 'error': Submission CSV Not Found")


def test_a_competition_that_cannot_be_attached_names_its_rules(submit, site) -> None:
    site.kernel_answer = {"invalidCompetitionSources": ["severstal-steel-defect-detection"]}
    check_error(submit(), "could not attach severstal-steel-defect-detection", "/rules")
    site.kernel_answer = {"error": "Notebook title is taken"}
    check_error(submit(), "did not take the notebook", "Notebook title is taken")
    assert site.code_submissions == []


def test_a_data_set_that_kaggle_cannot_unpack_ends_it(submit, site) -> None:
    site.dataset_states[:] = ["FAILED"]
    check_error(submit(), "data set ended with 'failed'")
    assert site.kernels == []


def test_without_a_token_or_a_package_the_cure_is_named(submit, packaged) -> None:
    check_error(submit(HOME_ONLY="1"), "no Kaggle token found", "settings/api")
    (packaged.kaggle_kernel / "kernel-metadata.json").unlink()
    check_error(submit(), "kernel-metadata.json is missing", "bash bin/package_kaggle.sh")


def test_a_dry_run_says_all_and_asks_nobody(packaged) -> None:
    said = run_stage_alone("submit", packaged, "--notebook", "--dry-run").stdout
    for part in ("code/ as a zip", "GPU on, internet off", "kaggle kernels push", "nothing was uploaded"):
        assert part in said
    assert json.loads((packaged.kaggle_kernel / "kernel-metadata.json").read_text())["id"].startswith("OWNER/")


def test_made_up_steel_is_not_submitted(packaged, submit, site) -> None:
    from severstal.synthetic.dataset import MARKER

    packaged.input.mkdir()
    (packaged.input / MARKER).write_text("{}")
    check_error(submit(), "synthetic steel, which Kaggle cannot score")
    assert site.datasets == []
