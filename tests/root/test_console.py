"""What a stage takes and prints: options, the library's log lines, and whether a result is cached."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joblib import Parallel, delayed

from severstal import console
from severstal.artifacts import Artifact
from severstal.console import Stage
from severstal.errors import InputError
from severstal.paths import Paths, is_synthetic_folder


def log_from_worker() -> None:
    console.set_up_logging()
    logging.getLogger("severstal.training").info("resnet34 fold 0: epoch 1")


def test_library_messages_are_printed_like_the_lines_of_a_stage(capsys, tmp_path) -> None:
    for _ in range(2):
        stage = Stage("train", Paths(tmp_path))
    stage.say("a line")
    logging.getLogger("severstal.data").info("a message of %s", "data")
    logging.getLogger("severstal.data").warning("a warning")
    logging.getLogger("severstal.data").debug("a detail")
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["== train", "== train", "   a line", "   a message of data", "   a warning"]


def test_strips_are_called_synthetic_by_their_own_folder_and_networks_by_what_taught_them(capsys, tmp_path) -> None:
    synthetic, mill = Paths.under(tmp_path), tmp_path / "mill" / "today"
    synthetic.test_images.mkdir(parents=True)
    synthetic.synthetic_marker.touch()
    mill.mkdir(parents=True)
    for folder in (synthetic.test_images, mill):
        stage = Stage("predict", synthetic, is_synthetic=is_synthetic_folder(folder))
        stage.say_origin("trained on synthetic steel")
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["== predict  (synthetic steel)", "== predict", "   networks trained on synthetic steel"]


def test_messages_of_a_worker_process_are_printed(capfd) -> None:
    Parallel(n_jobs=2)(delayed(log_from_worker)() for _ in range(2))
    assert capfd.readouterr().out.count("   resnet34 fold 0: epoch 1\n") == 2


def test_a_stage_says_that_a_result_is_cached_or_why_it_is_built_again(capsys, tmp_path) -> None:
    stage, record = Stage("tune", Paths(tmp_path)), tmp_path / "postprocess.json"
    first = Artifact(record, {"engine": "torch"})
    assert not stage.is_cached(first)
    first.write_record()
    assert stage.is_cached(first)
    assert not stage.is_cached(Artifact(record, {"engine": "openvino"}))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == [f"   cached {record}", f"   rebuild {record}: engine torch, now openvino"]


def test_only_the_time_of_a_stage_that_did_something_is_recorded(tiny) -> None:
    Stage("tune", tiny).done()
    assert not tiny.times.exists()
    busy = Stage("tune", tiny)
    busy.wrote("a file")
    busy.done()
    recorded = tiny.times.read_bytes()
    assert console.read_times(tiny)["tune"]["seconds"] < 5
    Stage("tune", tiny).done()
    other = Stage("tune", tiny)
    other.wrote("a file")
    other.done(keep_time=False)
    assert tiny.times.read_bytes() == recorded


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fold", "x"], r"unknown option --fold \(did you mean --folds\?\); --help"),
        (["--fold=x"], r"unknown option --fold \(did you mean --folds\?\)"),
        (["--unheard-of"], "unknown option --unheard-of; --help"),
        (["extra"], "unknown argument extra"),
        (["--folds"], "argument --folds: expected one argument"),
    ],
)
def test_a_typo_on_the_command_line_is_an_error_with_its_near_miss(arguments, message) -> None:
    with pytest.raises(InputError, match=message):
        console.parser("A stage.").parse_args(arguments)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("55m", 3300), ("1h30m", 5400), ("1h", 3600)])
def test_a_length_of_time_is_read_in_hours_minutes_and_seconds(text, seconds) -> None:
    assert console.seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "55", "1h 30m", "m", "1.5h", "30m1h"])
def test_a_length_of_time_that_cannot_be_read_is_an_error(text) -> None:
    with pytest.raises(InputError, match="write it like 55m, 90s or 1h30m"):
        console.seconds_of(text)


@pytest.mark.parametrize("value", ["a b", "it's", '"', "Straße", "-dir", "-", "a=b", "$HOME", "*", "new\nline"])
@pytest.mark.parametrize("option", ["--input", "--folds", "--submissions"])
def test_a_value_means_the_same_in_both_spellings(option, value) -> None:
    spellings = ([option, value], [f"{option}={value}"])
    first, second = (vars(console.parser("").parse_args(arguments)) for arguments in spellings)
    assert first == second
    assert first[option.removeprefix("--")] == Path(value)


@given(st.text(min_size=1).filter(lambda text: text.strip() and not text.startswith("--") and text != "-h"))
def test_any_folder_can_be_named_in_both_spellings(value) -> None:
    parser = console.parser("")
    assert parser.parse_args(["--input", value]).input == parser.parse_args([f"--input={value}"]).input == Path(value)


@pytest.mark.parametrize("arguments", [["--input", "--folds", "x"], ["--input"], ["--input", "-h-", "--fold=x"]])
def test_a_forgotten_value_or_a_misspelt_option_is_not_taken_for_a_value(arguments) -> None:
    with pytest.raises(InputError, match=r"--input: expected one argument|unknown option --fold"):
        console.parser("").parse_args(arguments)


@pytest.mark.parametrize("arguments", [["--input="], ["--input", ""], ["--folds", " "]])
def test_a_path_from_an_unset_variable_is_not_the_working_folder(arguments) -> None:
    with pytest.raises(InputError, match="the path is empty; is a variable of your script not set"):
        console.parser("").parse_args(arguments)
