"""Whether a result is cached: what makes it be built again, and in which words."""

from __future__ import annotations

import json

import pytest

from severstal.artifacts import Artifact, changes, read_json, replacing, replacing_folder, write_json
from severstal.errors import InputError

INPUTS = {"weights": "0123456789abcdef", "engine": "torch", "members": {"resnet34 fold 0": "aaaaaaaaaaaaaaaa"}}


@pytest.fixture
def built(tmp_path) -> Artifact:
    """An artifact of one file, as a stage leaves it."""
    artifact = Artifact(tmp_path / "submission.json", INPUTS, version=2, files=(tmp_path / "submission.csv",))
    artifact.files[0].write_text("ImageId\n")
    artifact.write_record({"score": 0.9})
    return artifact


def test_what_was_just_built_is_cached_and_its_record_keeps_the_facts(built) -> None:
    assert built.differences() == []
    assert built.is_cached()
    assert json.loads(built.record.read_text())["score"] == 0.9


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"weights": "fedcba9876543210"}, "weights changed"),
        ({"engine": "openvino"}, "engine torch, now openvino"),
        ({"members": {"resnet34 fold 0": "bbbbbbbbbbbbbbbb"}}, "members: resnet34 fold 0 changed"),
        ({"members": {}}, "members: resnet34 fold 0 is gone"),
        ({"tta": ["horizontal"]}, "tta is new"),
    ],
)
def test_a_changed_input_is_named(built, changed, reason) -> None:
    wanted = Artifact(built.record, INPUTS | changed, built.version, built.files)
    assert wanted.differences() == [reason]
    assert not wanted.is_cached()


def test_another_version_of_the_method_builds_again(built) -> None:
    newer = Artifact(built.record, INPUTS, 3, built.files)
    assert newer.differences() == ["another version of the program built it"]


def test_a_file_that_is_gone_or_was_edited_is_built_again(built) -> None:
    (file,) = built.files
    file.write_text("edited")
    assert built.differences() == ["submission.csv is not the file that was built"]
    file.unlink()
    assert built.differences() == ["submission.csv is missing"]


@pytest.mark.parametrize("content", ["", "[1]", "{", "{}", '{"cached_from": 3}', '{"cached_from": {"version": 2}}'])
def test_a_damaged_record_is_no_error_but_not_cached(built, content) -> None:
    built.record.write_text(content)
    assert built.differences() == ["submission.json does not say what it was built from"]
    built.record.unlink()
    assert built.differences() == ["submission.json is missing"]


def test_an_incomplete_result_is_never_cached(built) -> None:
    built.write_record({"damaged": ["a.jpg"]}, complete=False)
    assert built.differences() == ["the earlier result is incomplete"]


def test_a_moved_folder_stays_cached(built, tmp_path) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for file in (built.record, *built.files):
        file.rename(moved / file.name)
    assert Artifact(moved / built.record.name, INPUTS, 2, (moved / "submission.csv",)).is_cached()


def test_tuples_and_lists_are_the_same_input() -> None:
    assert changes({"tta": ["horizontal"], "sizes": [[1, 2]]}, {"tta": ("horizontal",), "sizes": [(1, 2)]}) == []


def test_a_write_that_fails_leaves_the_old_file_and_no_temporary_one(tmp_path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]
    assert path.read_text() == "old"


def test_a_missing_or_damaged_json_file_names_the_command_that_writes_it(tmp_path) -> None:
    path = tmp_path / "recipe.json"
    with pytest.raises(InputError, match=r"recipe\.json is missing: make it with `bash bin/make_folds\.sh`"):
        read_json(path, "bash bin/make_folds.sh")
    path.write_text("{")
    with pytest.raises(InputError, match=r"no valid JSON .*delete it and run `bash bin/make_folds\.sh`"):
        read_json(path, "bash bin/make_folds.sh")
    write_json(path, [1])
    with pytest.raises(InputError, match="holds no JSON object"):
        read_json(path, "bash bin/make_folds.sh")


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path) -> None:
    package = tmp_path / "package"
    for content in ("old", "new"):
        with replacing_folder(package) as temporary:
            (temporary / content).write_text(content)
    assert [file.name for file in package.iterdir()] == ["new"]
    with pytest.raises(OSError, match="full"), replacing_folder(package) as temporary:
        (temporary / "half").write_text("h")
        raise OSError("full")
    assert sorted(tmp_path.rglob("*")) == [package, package / "new"]
