"""The prediction stage as a user calls it: time limits that leave members out, and corrupt strips."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from support.commands import run_stage_in_process
from support.experiments import SMALLEST, write_tiny_strips

from severstal.engines.openvino_engine import OpenVinoEngine
from severstal.inference import ensemble, time_budget
from severstal.paths import Paths

STRIPS = 40
FAST, SLOW = (f"{SMALLEST} fold {fold}" for fold in (0, 1))
SECONDS = {0: 0.01, 1: 0.2}  # that the network of each fold takes for a strip, on the clock of these tests


@pytest.fixture(scope="module")
def mill(tmp_path_factory) -> Path:
    """A folder of forty strips."""
    folder = tmp_path_factory.mktemp("input") / "mill"
    write_tiny_strips(folder, STRIPS)
    return folder


@pytest.fixture
def paths(exported, tmp_path) -> Paths:
    return Paths(exported.input, exported.folds, tmp_path / "masks")


@pytest.fixture
def clock(monkeypatch) -> None:
    """A clock that moves only while a network predicts."""
    now, load = [0.0], OpenVinoEngine.load

    def load_timed(member):
        engine = load(member)

        def call(strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            now[0] += SECONDS[member.fold] * len(strips)
            return engine(strips)

        return call

    monkeypatch.setattr(OpenVinoEngine, "load", load_timed)
    for module in (ensemble, time_budget):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))


def predict(paths: Paths, folder: Path, *arguments: str, check: bool = True):
    return run_stage_in_process("predict", paths, "--images", folder, "--engine=openvino", *arguments, check=check)


def read_submission(paths: Paths) -> pd.DataFrame:
    return pd.read_csv(paths.submission, keep_default_na=False)


def test_with_enough_time_a_limit_changes_nothing(paths, mill, clock) -> None:
    assert "it finishes in time" in predict(paths, mill, "--time-limit", "1h").stdout
    limited = read_submission(paths)
    assert (limited["EncodedPixels"] != "").any(), "empty masks would prove nothing"
    assert "cached" in predict(paths, mill).stdout
    paths.submission_report.unlink()
    assert "wrote" in predict(paths, mill).stdout
    pd.testing.assert_frame_equal(limited, read_submission(paths))


def test_a_member_that_would_not_finish_is_left_out_by_name_until_there_is_time(paths, mill, clock) -> None:
    # The first call takes 0.8 s of the 6; the slow member would need another 7.6.
    done = predict(paths, mill, "--time-limit", "6s")
    assert f"prediction goes on without {SLOW}" in done.stdout
    strips_of_members = json.loads(paths.submission_report.read_text())["strips_of_members"]
    assert strips_of_members[FAST] == STRIPS
    assert strips_of_members[SLOW] < STRIPS, "it comes back for the last strips alone"
    assert len(read_submission(paths)) == 4 * STRIPS
    assert "cached" not in predict(paths, mill).stdout, "a smaller ensemble is worth another try"
    assert json.loads(paths.submission_report.read_text())["strips_of_members"] == {FAST: STRIPS, SLOW: STRIPS}


def test_where_no_member_finishes_nothing_is_written(paths, mill, clock) -> None:
    done = predict(paths, mill, "--time-limit", "0s", check=False)
    assert done.returncode == 2
    assert f"no member of the ensemble finishes in the 0.0 s that are left; the quickest, {FAST}," in done.stderr
    assert "longer --time-limit" in done.stderr
    assert not paths.submission.exists()


def test_strips_that_come_too_late_are_predicted_empty_on_request(paths, mill, clock) -> None:
    done = predict(paths, mill, "--time-limit", "1s", "--skip-late")
    late = json.loads(paths.submission_report.read_text())["late"]
    assert f"because the time was over: {late} strips" in done.stdout
    assert 0 < late < STRIPS
    submission = read_submission(paths)
    assert len(submission) == 4 * STRIPS
    assert (submission["EncodedPixels"][: 4 * (STRIPS - late)] != "").any()
    assert (submission["EncodedPixels"][4 * (STRIPS - late) :] == "").all()
    assert "cached" not in predict(paths, mill).stdout, "with more time the rest would be predicted"


def test_a_corrupt_strip_stops_the_run_by_name_or_is_predicted_empty_and_listed(paths, tmp_path) -> None:
    folder = tmp_path / "strips"
    write_tiny_strips(folder, 14)
    broken = sorted(folder.iterdir())[13]
    content = broken.read_bytes()
    broken.write_bytes(content[:300])
    stopped = predict(paths, folder, check=False)
    assert stopped.returncode == 2
    assert f"{broken.name} is corrupt or cut short" in stopped.stderr
    assert not paths.submission.exists()
    done = predict(paths, folder, "--skip-corrupt")
    assert f"corrupt, predicted empty: {broken.name}: " in done.stdout
    submission = read_submission(paths)
    of_broken = submission[submission["ImageId"] == broken.name]
    assert len(of_broken) == 4
    assert (of_broken["EncodedPixels"] == "").all()
    broken.write_bytes(content)
    assert "cached" not in predict(paths, folder).stdout, "the strip is whole again"
    assert (read_submission(paths).query("ImageId == @broken.name")["EncodedPixels"] != "").any()


@pytest.mark.parametrize("text", ["55", "soon", ""])
def test_a_time_limit_needs_a_unit(paths, mill, text: str) -> None:
    done = predict(paths, mill, f"--time-limit={text}", check=False)
    assert done.returncode == 2
    assert "write it like 55m" in done.stderr
