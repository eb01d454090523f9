"""Stages that cannot do what they are asked end with code 2 and an error with its cure, and change no file."""

from __future__ import annotations

import pytest
from support.commands import run_refused, run_stage_alone
from support.files import cut_in_half
from support.training import ENCODER

from severstal.paths import Paths


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--epoch", 3], "unknown option --epoch (did you mean --epochs?)"),
        (["predict_lake", "x", "--outptu", "y"], "unknown option --outptu (did you mean --output?)"),
        (["train", "--epochs", 0], "epochs: Input should be greater"),
        (["train", "--epochs", "many"], "epochs: Input should be a valid integer"),
        (["train", "--amp", "fp8"], "amp: Input should be 'auto'"),
        (["train", "--class-sampling", "1,2"], "Tuple should have at least 5 items"),
        (["train", "resnet34", 0], "bash bin/make_folds.sh --encoders"),
        (["train", ENCODER, 2], "no fold 2: folds.csv has 0 to 1"),
        (["train", ENCODER, "first"], "invalid int value: 'first'"),
        (["make_folds", "--recipe", "kagle"], "did you mean kaggle?"),
        (["make_folds", "--recipe", "nowhere.toml"], "nowhere.toml"),
        (["make_folds", "--recipe", "sample", "--epochs", "many"], "epochs: Input should be a valid integer"),
        (["make_folds", "--encoders", "resnet43"], "did you mean"),
        (["make_folds", "--encoders", ""], "no encoder is called ''"),
        (["make_folds", "--encoders", "{"], "--encoders is no valid JSON"),
        (["make_folds", "--num-folds", 3], "has 2 folds (0 to 1) and the recipe asks for 3"),
        (["export", "--engine", "onnx"], "no engine 'onnx'"),
        (["predict", "--images", "/nowhere"], "/nowhere is no folder"),
        (["submit"], "is no folder"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_a_wrong_command_line_changes_nothing(tiny, arguments, message) -> None:
    assert message in run_refused(arguments[0], tiny, *arguments[1:])


@pytest.mark.parametrize("name", ["train", "tune"])
def test_a_split_of_another_number_of_folds_stops_the_stage(tiny, name) -> None:
    tiny.folds_csv.write_text(tiny.folds_csv.read_text().replace(",1,", ",2,", 1))
    assert f"{tiny.folds_csv} has 3 folds (0 to 2) and the recipe asks for 2" in run_refused(name, tiny)


def test_a_stage_without_the_files_of_the_one_before_names_its_command(tiny) -> None:
    assert "bash bin/train.sh" in run_refused("tune", tiny)
    assert "bash bin/tune.sh" in run_refused("export", tiny)


def test_a_stage_without_an_input_folder_creates_no_other(tmp_path) -> None:
    paths = Paths(tmp_path / "nowhere", tmp_path / "folds", tmp_path / "submissions")
    assert str(paths.input) in run_refused("make_folds", paths)
    assert not list(tmp_path.iterdir())


def test_a_damaged_strip_stops_the_split_and_nothing_is_written(tiny) -> None:
    tiny.folds_csv.unlink()
    strip = f"{0:09x}.jpg"
    cut_in_half(tiny.train_images / strip)
    assert f"{strip} is corrupt or cut short" in run_refused("make_folds", tiny)


def test_a_stages_own_process_ends_with_code_2_and_without_a_traceback(tiny) -> None:
    stage = run_stage_alone("train", tiny, "--epoch", 3, check=False)
    assert stage.returncode == 2
    assert "--epoch" in stage.stderr
    assert "Traceback" not in stage.stderr
