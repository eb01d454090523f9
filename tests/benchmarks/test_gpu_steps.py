"""The check of a GPU goes on after whatever a step does, and its table says what became of each."""

from __future__ import annotations

import json

import pytest

import gpu_check
from benchmarks.gpu import plan, steps
from benchmarks.gpu.steps import Result, Step, exit_code, run_all


def python(code: str) -> tuple[str, ...]:
    return ("-c", code)


def test_every_step_is_a_line_whatever_the_others_do(tmp_path) -> None:
    listed = [
        Step("good", python('print(\'noise\'); print(\'{"summary": "fine", "n": 1}\')'), 30),
        Step("bad", python("import sys; print('{\"n\": 2}'); sys.exit('error: no | such thing')"), 30),
        Step("slow", python("import time; print('{\"n\": 3}', flush=True); time.sleep(60)"), 1),
        Step("missing", python(""), 30, packages=("json", "no_such_module|neither_this")),
        Step("either", python("print('{}')"), 30, packages=("no_such_module|json",)),
        Step("dependent", python(""), 30, after=("good", "bad")),
        Step("crash", python("import os; os.abort()"), 30),
    ]
    said = []
    results = run_all(listed, tmp_path / "logs", 60, said.append)
    assert [result.status for result in results] == ["ok", "failed", "timed out", "skipped", "ok", "skipped", "failed"]
    assert [json.loads(line)["step"] for line in said] == [step.name for step in listed]
    assert [result.facts.get("n") for result in results[:3]] == [1, 2, 3], "facts of failed steps are kept"
    reasons = [result.reason for result in results]
    assert reasons[1] == "error: no | such thing"
    assert reasons[2] == "stopped after 1 s"
    assert reasons[3] == "not installed: no_such_module|neither_this"
    assert reasons[5] == "it needs the step bad"
    assert "-6" in reasons[6]
    rows = gpu_check.table(results)
    assert rows[2].startswith("| good | fine |")
    assert "no \\| such thing" in rows[3], "a bar would end the cell"
    assert exit_code(results) == 2
    assert exit_code([results[0], results[3]]) == 0, "what is not installed is no failure"


def test_steps_are_skipped_when_the_time_for_all_is_over(tmp_path) -> None:
    listed = [Step("long", python("import time; time.sleep(60)"), 30), Step("late", python(""), 30)]
    results = run_all(listed, tmp_path, 2, lambda line: None)
    assert [result.status for result in results] == ["timed out", "skipped"]


@pytest.mark.parametrize("sizes", [plan.FULL, plan.QUICK, plan.STAND_IN])
def test_every_step_of_a_plan_is_a_module_and_comes_after_those_that_it_needs(sizes, tmp_path) -> None:
    listed = plan.steps(sizes, tmp_path)
    names = [step.name for step in listed]
    assert len(set(names)) == len(names)
    for step in listed:
        assert steps._is_installed(step.arguments[1])
        assert all(names.index(needed) < names.index(step.name) for needed in step.after)
    assert sum(name.startswith("engine") for name in names) == len(sizes.engines)


def test_a_result_without_facts_is_a_short_line() -> None:
    assert json.loads(Result("a", "ok").line()) == {"step": "a", "status": "ok", "seconds": 0.0}
