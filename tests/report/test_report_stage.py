"""The report stage: when it writes, and which files it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.commands import check_error, run_stage_in_process

from severstal import recipe
from severstal.artifacts import write_json
from severstal.experiment import all_members
from severstal.paths import Paths


def first_log(paths: Paths) -> Path:
    return all_members(paths, recipe.read(paths))[0].files.log


def test_the_report_is_written_again_only_after_a_source_changed(copy) -> None:
    assert "cached " in run_stage_in_process("report", copy).stdout
    log = first_log(copy)
    log.write_text(log.read_text().replace('"epoch": 3', '"epoch": 33'))
    assert "wrote" in run_stage_in_process("report", copy).stdout
    assert "cached " in run_stage_in_process("report", copy).stdout


def test_the_page_says_so_if_the_steel_is_synthetic(run, copy) -> None:
    assert "synthetic steel" not in run.report_page.read_text()
    write_json(copy.synthetic_marker, {})
    run_stage_in_process("report", copy)
    text = copy.report_page.read_text()
    assert '<strong class="badge" id="synthetic">synthetic steel</strong>' in text
    assert "<title>Synthetic steel" in text


def test_the_page_says_so_if_the_networks_started_from_synthetic_steel(run, copy) -> None:
    sentence = "The networks were first trained on synthetic steel, then on these strips"
    assert sentence not in run.report_page.read_text()
    file = next(copy.folds.rglob("config.json"))
    start = {"folds": "f", "fold": 0, "weights": "w", "synthetic": True, "compared": "pictures"}
    write_json(file, json.loads(file.read_text()) | {"pretrained": start})
    run_stage_in_process("report", copy)
    assert sentence in copy.report_page.read_text()


def test_a_submission_from_before_tuning_is_refused(copy) -> None:
    record = json.loads(copy.submission_report.read_text())
    rule = record["rules"][0]
    rule["threshold" if "threshold" in rule else "calibration_level"] -= 1
    write_json(copy.submission_report, record)
    check_error(run_stage_in_process("report", copy, check=False), "before tuning", "bash bin/predict.sh")


@pytest.mark.parametrize("name", ["log.jsonl", "strips.csv"])
def test_a_damaged_file_is_named_in_the_error(copy, name) -> None:
    damaged = copy.strip_scores if name == "strips.csv" else first_log(copy)
    damaged.write_text("{nothing")
    check_error(run_stage_in_process("report", copy, check=False), name)
