"""The soak tests notice what they look for, and repeat by their seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import ROOT

from benchmarks.soak import __main__ as soak
from benchmarks.soak import small_run
from benchmarks.soak.small_run import MARK, Failure, NotPossible, SmallRun, contents_of, wait_until_gone
from severstal.artifacts import write_json


@pytest.fixture
def run(tmp_path) -> SmallRun:
    """A run whose stage ``tune`` ended with two files."""
    folds = tmp_path / "run" / "folds"
    folds.mkdir(parents=True)
    (folds / "strips.csv").write_text("a")
    write_json(folds / "postprocess.json", {"dice": 0.5, "seconds": 3})
    return SmallRun(tmp_path, reference={"tune": contents_of(tmp_path / "run")})


def test_seconds_and_tensorboards_files_may_differ(run) -> None:
    write_json(run.paths.postprocess, {"dice": 0.5, "seconds": 4})
    (run.paths.folds / "tensorboard").mkdir()
    (run.paths.folds / "tensorboard" / "events").touch()
    run.check("tune")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folds: (folds / "strips.csv").write_text("b"), "folds/strips.csv differs"),
        (lambda folds: (folds / "strips.csv").unlink(), "folds/strips.csv missing"),
        (lambda folds: (folds / ".strips.csv.123").touch(), r"folds/\.strips.csv.123 left over"),
        (lambda folds: write_json(folds / "postprocess.json", {"dice": 0.4, "seconds": 3}), "postprocess.json differs"),
    ],
    ids=["other bytes", "a lost file", "litter", "another number"],
)
def test_a_difference_from_the_undisturbed_run_is_a_failure(run, harm, message) -> None:
    harm(run.paths.folds)
    with pytest.raises(Failure, match=message):
        run.check("tune")


def test_a_process_that_is_left_is_a_failure_and_is_ended(monkeypatch) -> None:
    monkeypatch.setattr(small_run, "ENDING_SECONDS", 0.2)
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"]
    orphan = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {MARK: "test"})
    assert orphan.stdout.readline()
    with pytest.raises(Failure, match=r"orphans 0 s after the end: .*time\.sleep"):
        wait_until_gone("test")
    assert orphan.wait() == -9
    orphan.stdout.close()
    wait_until_gone("test")


def test_each_check_makes_its_attempts_whatever_one_raises_and_the_table_says_so(run, monkeypatch, capsys) -> None:
    def odd_seeds_fail(_: SmallRun, seed: int) -> None:
        if seed % 2:
            raise Failure("odd |\n even")

    def no_root(*_: object) -> None:
        raise NotPossible("run this as root")

    monkeypatch.setitem(soak.CHECKS, "kill", odd_seeds_fail)
    monkeypatch.setitem(soak.CHECKS, "two-at-once", lambda *_: None)
    monkeypatch.setitem(soak.CHECKS, "full-disk", no_root)
    monkeypatch.setitem(soak.CHECKS, "fuzz", lambda *_: json.loads("{damaged|\n"))
    rows = {name: soak.Row() for name in ("kill", "two-at-once", "full-disk", "fuzz")}
    soak.soak(run, rows, 60, seed=4, attempts=3)
    error = "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
    assert soak.table(rows, 4)[2:] == [
        "| kill | 3 | 4 to 6 | seed 5: odd \\| even |",
        "| two-at-once | 3 | 4 to 6 | none |",
        "| full-disk | 0 | none | not possible here: run this as root |",
        f"| fuzz | 3 (150 inputs) | 4 to 6 | {'; '.join(f'seed {seed}: {error}' for seed in (4, 5, 6))} |",
    ]
    assert "kill, seed 5: odd" in capsys.readouterr().out


def test_no_attempt_begins_after_the_minutes_and_a_stage_that_hangs_ends(run, monkeypatch) -> None:
    monkeypatch.setattr(small_run, "MIN_HANG_SECONDS", 0.2)
    (run.folder / "finish.log").write_text("half\n")
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with pytest.raises(Failure, match="tune has not ended after 0 s: half"):
        run.wait(subprocess.Popen(command, env=os.environ | {MARK: "finish"}), "tune", "finish")
    rows = {"kill": soak.Row()}
    soak.soak(run, rows, -1, seed=0, attempts=3)
    assert rows["kill"].attempts == 0


def test_every_stage_that_writes_an_experiment_is_harmed() -> None:
    # They write nothing, come before the experiment, need Kaggle or a GPU, or have tests of kills of their own.
    without = {"demo", "download_data", "submit", "gpu_check", "predict_lake", "make_labels"}
    assert {file.stem for file in Path(ROOT / "src").glob("*.py")} - without == set(small_run.STAGES)
