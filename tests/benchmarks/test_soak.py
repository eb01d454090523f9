"""The soak tests notice what they look for, and repeat by their seed."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import ROOT

from benchmarks.soak import __main__ as soak
from benchmarks.soak import small_run
from benchmarks.soak.contents import contents_of
from benchmarks.soak.small_run import MARK, Failure, NotPossible, SmallRun, wait_until_gone
from severstal.artifacts import write_json


@pytest.fixture
def run(tmp_path) -> SmallRun:
    """A run whose stage ``tune`` ended with two files."""
    folds = tmp_path / "soak" / "run" / "folds"
    folds.mkdir(parents=True)
    (folds / "strips.csv").write_text("a")
    write_json(folds / "postprocess.json", {"dice": 0.5, "seconds": 3})
    return SmallRun(tmp_path / "soak", reference={"tune": contents_of(folds.parent)})


def options(folder: Path, **given: object) -> argparse.Namespace:
    return argparse.Namespace(**{"minutes": 1, "seed": 0, "attempts": 100, "keep": folder / "kept"} | given)


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
        (
            lambda folds: write_json(folds / "postprocess.json", {"dice": 0.4, "seconds": 3}),
            r"json differs\[0\]\.dice: 0\.4, not 0\.5",
        ),
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


def test_each_check_makes_its_attempts_whatever_one_raises_and_the_table_says_so(
    run, monkeypatch, capsys, tmp_path
) -> None:
    def odd_seeds_fail(run: SmallRun, seed: int) -> None:
        run.harms += 2
        if seed % 2:
            raise Failure("odd |\n even")

    def no_root(*_: object) -> None:
        raise NotPossible("run this as root")

    attempts = [odd_seeds_fail, lambda *_: None, no_root, lambda *_: json.loads("{damaged|\n")]
    names = ("kill", "two-at-once", "full-disk", "fuzz")
    monkeypatch.setattr(soak, "CHECKS", {n: soak.Check(a, 1, "harms") for n, a in zip(names, attempts, strict=True)})
    rows = {name: soak.Row() for name in names}
    list(soak.soak(run, rows, options(tmp_path, seed=4, attempts=3)))
    error = "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
    assert soak.table(rows, 4, 60).splitlines()[4:] == [
        "| kill | 6 harms | 0.0 | 3 | 4 to 6 | seed 5: odd \\| even |",
        "| two-at-once | 0 harms | 0.0 | 3 | 4 to 6 | none |",
        "| full-disk | 0 harms | 0.0 | 0 | none | not possible here: run this as root |",
        f"| fuzz | 0 harms | 0.0 | 3 | 4 to 6 | {'; '.join(f'seed {seed}: {error}' for seed in (4, 5, 6))} |",
    ]
    assert "kill, seed 5: odd" in capsys.readouterr().out
    assert (tmp_path / "kept" / "kill-5" / "run" / "folds" / "strips.csv").exists()


def test_each_check_gets_its_share_of_the_turns(run, monkeypatch, tmp_path) -> None:
    made = []
    checks = {
        "often": soak.Check(lambda *_: made.append("o"), 3, ""),
        "rare": soak.Check(lambda *_: made.append("r"), 1, ""),
    }
    monkeypatch.setattr(soak, "CHECKS", checks)
    turns = soak.soak(run, {name: soak.Row() for name in checks}, options(tmp_path))
    for _ in range(8):
        next(turns)
    assert "".join(made) == "oroooroo"


def test_finished_work_that_is_lost_or_made_again_is_a_failure(run, monkeypatch) -> None:
    weights = run.paths.folds / "a" / "0" / "weights.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_text("w")
    run.reference["tune"], run.kept["tune"] = contents_of(run.folder / "run"), {"folds/strips.csv": b"a"}
    monkeypatch.setattr(SmallRun, "finish", lambda *_: None)
    run.recover("tune")
    monkeypatch.setattr(SmallRun, "finish", lambda *_: os.utime(weights, (1, 1)))
    with pytest.raises(Failure, match=r"tune made .*weights\.safetensors again"):
        run.recover("tune")
    (run.paths.folds / "strips.csv").unlink()
    with pytest.raises(Failure, match=r"after the harm: folds/strips\.csv missing"):
        run.recover("tune")


def test_no_attempt_begins_after_the_minutes_and_a_stage_that_hangs_ends(run, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(small_run, "MIN_HANG_SECONDS", 0.2)
    (run.folder / "finish.log").write_text("half\n")
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with pytest.raises(Failure, match="tune has not ended after 0 s: half"):
        run.wait(subprocess.Popen(command, env=os.environ | {MARK: f"{run.folder}/finish"}), "tune", "finish")
    rows = {"kill": soak.Row()}
    list(soak.soak(run, rows, options(tmp_path, minutes=-1)))
    assert rows["kill"].attempts == 0


def test_every_stage_that_writes_an_experiment_is_harmed() -> None:
    # They write nothing, come before the experiment, need Kaggle or a GPU, or have tests of kills of their own.
    without = {"demo", "download_data", "submit", "gpu_check", "predict_lake", "make_labels", "check_run"}
    assert {file.stem for file in Path(ROOT / "src").glob("*.py")} - without == set(small_run.STAGES)
