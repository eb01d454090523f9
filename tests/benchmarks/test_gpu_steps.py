"""The check of a GPU goes on after whatever a step does, and its table says what became of each."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

import gpu_check
from benchmarks.gpu import plan, steps
from benchmarks.gpu.steps import Result, Step, describe, exit_code, run_all
from benchmarks.gpu.training_modes import MODES
from benchmarks.gpu.training_speed import describe as describe_row
from benchmarks.gpu.training_trial import channels_first
from severstal import recipe


def python(code: str) -> tuple[str, ...]:
    return ("-c", code)


def test_every_step_is_a_line_whatever_the_others_do(tmp_path) -> None:
    listed = [
        Step("good", python('print(\'noise\'); print(\'{"summary": "fine", "n": 1}\')'), 30),
        Step("bad", python("import sys; print('{\"n\": 2}'); sys.exit('error: no | such thing')"), 30),
        Step("missing", python(""), 30, packages=("json", "no_such_module|neither_this")),
        Step("either", python("print('{}')"), 30, packages=("no_such_module|json",)),
        Step("dependent", python(""), 30, after=("good", "bad")),
        Step("crash", python("import os; os.abort()"), 30),
    ]
    results = list(run_all(listed, tmp_path / "logs", print))
    assert [result.status for result in results] == ["ok", "failed", "skipped", "ok", "skipped", "failed"]
    assert [json.loads(result.line())["step"] for result in results] == [step.name for step in listed]
    assert [result.facts.get("n") for result in results[:2]] == [1, 2], "facts of failed steps are kept"
    reasons = [result.reason for result in results]
    assert reasons[1] == "error: no | such thing"
    assert reasons[2] == "not installed: no_such_module|neither_this"
    assert reasons[4] == "it goes on from the step 'bad', which was not done"
    assert "-6" in reasons[5]
    rows = gpu_check.table(results)
    assert rows[2].startswith("| good | fine |")
    assert "no \\| such thing" in rows[3], "a bar would end the cell"
    assert exit_code(results) == 2
    assert exit_code([results[0], results[2]]) == 0, "what is not installed is no failure"
    assert exit_code([results[2]]) == 2, "a check of nothing is no success"


def run_check(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["gpu_check.py", *arguments])
    with pytest.raises(SystemExit) as end:
        gpu_check.main()
    return int(str(end.value))


def test_a_second_call_for_some_steps_keeps_the_results_of_the_others(tmp_path, monkeypatch, capsys) -> None:
    texts = {"first": "old", "second": "old"}

    def listed(sizes, work) -> list[Step]:
        return [Step(name, python(f'print(\'{{"summary": "{text}"}}\')'), 60) for name, text in texts.items()]

    monkeypatch.setattr(plan, "steps", listed)
    (tmp_path / "notes.txt").write_text("a user's")
    assert run_check(monkeypatch, "--stand-in", f"--output={tmp_path}") == 0
    texts |= dict.fromkeys(texts, "new")
    assert run_check(monkeypatch, "--stand-in", f"--output={tmp_path}", "--only", "sec") == 0
    rows = (tmp_path / "table.md").read_text().splitlines()[2:]
    assert [row.split(" | ")[:2] for row in rows] == [["| first", "old"], ["| second", "new"]]
    assert capsys.readouterr().out.endswith("\n".join(rows) + "\n")
    assert (tmp_path / "notes.txt").exists()
    assert run_check(monkeypatch, f"--output={tmp_path}", "--only", "third") == 2
    assert capsys.readouterr().err == "error: no step begins with third: first, second\n"


WAITS = """
import json, sys, time
from pathlib import Path
from benchmarks.gpu.steps import progress, seconds_left
progress("half of it")
while not Path(sys.argv[1]).exists():
    time.sleep(0.01)
print(json.dumps({"limit": seconds_left()}))
"""


def test_what_a_step_measures_is_said_while_it_runs(tmp_path) -> None:
    said = []

    def say(line: str) -> None:
        said.append(json.loads(line))
        (tmp_path / "heard").touch()

    (result,) = run_all([Step("waits", (*python(WAITS), str(tmp_path / "heard")), 60)], tmp_path, say)
    assert said == [{"step": "waits", "measured": "half of it"}]
    assert result.status == "ok"
    assert 0 < result.facts["limit"] < 60, "a step knows when it will be stopped"


def test_what_a_stopped_step_measured_is_kept(tmp_path) -> None:
    code = "print('{\"n\": 3}\\nmeasured: half of it', flush=True); import time; time.sleep(60)"
    (result,) = run_all([Step("slow", python(code), 3)], tmp_path, print)
    assert (result.status, result.facts) == ("timed out", {"n": 3})
    assert result.reason == "stopped after 3 s, after half of it"


def test_a_step_may_use_the_time_that_others_left_but_not_that_of_later_ones(tmp_path) -> None:
    sleep = python("import time; time.sleep(60)")
    listed = [
        Step("skipped", sleep, 2, packages=("no_such_module",)),
        Step("first", sleep, 1),
        Step("last", sleep, 1),
    ]
    results = list(run_all(listed, tmp_path, print))
    assert [result.status for result in results] == ["skipped", "timed out", "timed out"]
    reasons = [result.reason for result in results[1:]]
    assert reasons == ["stopped after 2 s", "stopped after 2 s"], "twice its own seconds are the most"
    _, late = run_all([replace(step, seconds=3) for step in listed[1:]], tmp_path, print)
    assert late.reason == "stopped after 3 s"


@pytest.mark.parametrize(("sizes", "seconds"), [(plan.FULL, 480), (plan.QUICK, 240), (plan.STAND_IN, 7200)])
def test_every_step_of_a_plan_is_a_module_after_those_that_it_needs_and_all_are_in_time(
    sizes, seconds, tmp_path
) -> None:
    listed = plan.steps(sizes, tmp_path)
    names = [step.name for step in listed]
    assert len(set(names)) == len(names)
    for step in listed:
        assert steps._is_installed(step.arguments[1])
        assert all(names.index(needed) < names.index(step.name) for needed in step.after)
    assert sum(name.startswith("engine") for name in names) == len(sizes.engines)
    assert sum(step.seconds for step in listed) <= seconds
    assert describe(listed).startswith(f"at most {sum(step.seconds for step in listed):.0f} s in all")


def test_every_encoder_of_kaggle_is_timed_and_part_of_the_large_ensemble() -> None:
    encoders = tuple(recipe.named("kaggle").encoders)
    assert plan.FULL.large_encoders == encoders
    assert {timed.encoder for timed in plan.FULL.trainings} == set(encoders)


def test_without_a_gpu_the_check_says_so_and_ends(tmp_path, monkeypatch) -> None:
    listed = [replace(step, seconds=600) for step in plan.steps(plan.QUICK, tmp_path)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    results = list(run_all(listed, tmp_path, print))
    assert [result.status for result in results] == ["failed", *["skipped"] * (len(listed) - 1)]
    assert "finds no NVIDIA GPU" in results[0].reason
    assert {result.reason for result in results[1:]} == {"the step 'versions' failed"}
    assert results[0].facts["commit"]


def test_a_machine_without_the_packages_is_told_so() -> None:
    lacking = Step("any", python(""), 30, packages=("no_such_module",))
    assert describe([lacking]) == "none of the 1 steps can run here: packages are missing"
    assert "1 steps lack packages" in describe([lacking, Step("able", python(""), 30)])


def test_modes_that_differ_in_the_search_alone_are_timed_in_different_processes() -> None:
    """PyTorch keeps the first choice of algorithm, so the second of two such modes would run with that of the first."""
    for sizes in (plan.FULL, plan.QUICK, plan.STAND_IN):
        for timed in (*sizes.trainings, *sizes.compiled):
            kept = {replace(MODES[mode], search=True) for mode in timed.modes}
            assert len(kept) == len(timed.modes)


def test_the_settings_of_a_mode_end_with_it() -> None:
    before = torch.backends.cudnn.benchmark
    with MODES["float32"].settings():
        assert torch.backends.cudnn.benchmark
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"
    with MODES["float32-no-search"].settings():
        assert not torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.benchmark == before
    assert torch.backends.cudnn.conv.fp32_precision != "ieee"


def test_channels_first_holds_through_a_network_although_its_input_has_one_channel() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Conv2d(4, 4, 3, groups=4))
    network.to(memory_format=torch.channels_last)
    crops = torch.zeros(2, 1, 16, 16).contiguous(memory_format=torch.channels_last)
    assert network(crops).stride()[1] == 1
    network.to(memory_format=torch.contiguous_format)
    network.register_forward_pre_hook(channels_first)
    assert network(crops).is_contiguous()
    assert network[1].weight.stride() == (9, 9, 3, 1), "PyTorch would take it for channels-last"


def test_a_row_says_what_was_measured_until_the_time_was_over() -> None:
    row = {"first_batch": 1.0, "first_step": 12.34, "stopped": "the time was over after 0 of 30 steady steps"}
    expected = "first batch after 1.0 s, first step 12.3 s, the time was over after 0 of 30 steady steps"
    assert describe_row(row) == expected
    assert describe_row({"failure": "out of memory"}) == "failed: out of memory"


def test_a_result_without_facts_is_a_short_line() -> None:
    assert json.loads(Result("a", "ok").line()) == {"step": "a", "status": "ok", "seconds": 0.0}
