"""The scripts of bin/: each is strict, each stage has one, and wrong options end before anything is written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import ROOT, arguments_of, run_bin

SLEEPING_STAGE = """
import sys, time
from severstal.errors import run_stage
print("started", file=sys.stderr, flush=True)
run_stage(lambda: time.sleep(600))
"""
SCRIPTS = sorted((ROOT / "bin").glob("*.sh"))
STAGES = sorted((ROOT / "src").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_stops_at_its_first_failing_command(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert "set -euo pipefail" in text or "/env.sh" in text


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.stem)
def test_every_stage_has_a_script_of_its_name(stage: Path) -> None:
    # src/inspect.py would hide Python's own module inspect: this stage's script has the shorter name.
    script = ROOT / "bin" / f"{stage.stem.removesuffix('_strips')}.sh"
    assert f"src/{stage.name}" in script.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe", "sample", "--epoch", "3"], "--epoch"),
        (["--engine=onnx"], "'onnx'"),
        (["--engine"], "--engine takes a value"),
        (["--folds"], "--folds takes a value"),
        (["--folds", "--engine", "torch"], "--folds takes a value, as in --folds=VALUE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_run_all_refuses_wrong_options_before_it_writes_anything(tmp_path, options, message) -> None:
    folders = [f"--input={tmp_path / 'in'}", "--folds", tmp_path / "folds", f"--submissions={tmp_path / 'out'}"]
    refused = run_bin("run_all", *folders, *options, check=False)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not list(tmp_path.iterdir())


def test_run_all_notices_missing_test_strips_before_it_trains(tiny) -> None:
    shutil.rmtree(tiny.folds)
    refused = run_bin("run_all", *arguments_of(tiny), "--recipe", "cpu", check=False)
    assert refused.returncode == 2
    assert f"error: {tiny.test_images} is no folder: put the strips (image files) there" in refused.stderr
    assert "predict.sh --images DIR" in refused.stderr
    assert not tiny.folds.exists()


def test_a_check_before_the_download_is_unpacked_asks_for_no_test_strips(tmp_path) -> None:
    (tmp_path / "competition.zip").touch()
    run_bin("check_run", "--input", tmp_path)


@pytest.mark.parametrize("script", ["setup", "lint"])
def test_a_script_without_options_refuses_one(script) -> None:
    refused = run_bin(script, "--deb", check=False)
    assert refused.returncode == 2
    assert "unknown option --deb" in refused.stderr


def test_a_stage_of_run_all_ends_when_run_all_is_killed(tmp_path) -> None:
    """What it starts here in place of Python says so and sleeps; it would outlive the script."""
    (tmp_path / "bin").mkdir()
    for name in ("run_all", "env", "make_folds"):
        shutil.copy(ROOT / "bin" / f"{name}.sh", tmp_path / "bin")
    (tmp_path / "bin" / "setup.sh").write_text("")
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "make_folds.py").write_text(SLEEPING_STAGE)
    command = ["bash", str(tmp_path / "bin" / "run_all.sh")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as script:
        assert script.stderr.readline() == "started\n"
        script.kill()
        script.stderr.read()  # until the stage, too, has closed it


@pytest.mark.parametrize(
    ("lint", "tests", "code"), [(0, 0, 0), (1, 0, 1), (0, 5, 5), (1, 5, 5)], ids=["neither", "lint", "tests", "both"]
)
def test_the_command_for_all_tests_fails_where_the_linters_or_the_tests_do(tmp_path, lint, tests, code) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("test", "env"):
        shutil.copy(ROOT / "bin" / f"{name}.sh", tmp_path / "bin")
    (tmp_path / "bin" / "setup.sh").write_text("")
    (tmp_path / "bin" / "lint.sh").write_text(f"echo what lint says\nexit {lint}\n")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$@"\nexit {tests}\n')
    python.chmod(0o755)
    command = ["bash", str(tmp_path / "bin" / "test.sh"), "-k", "rle"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == code
    assert re.search(r"^-m pytest -n \d .* -k rle$", ended.stdout, re.M)
    assert "what lint says" in (ended.stderr if lint else ended.stdout)
    assert ("error: bash bin/lint.sh failed" in ended.stderr) == bool(lint)


@pytest.mark.parametrize("variable", ["1", ""], ids=["set", "not set"])
def test_what_python_compiles_is_kept_although_a_container_says_not_to(variable) -> None:
    code = f'source "{ROOT}/bin/env.sh"; "$PYTHON" -c "import sys; print(sys.dont_write_bytecode, sys.pycache_prefix)"'
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPYCACHEPREFIX"}
    environment["PYTHONDONTWRITEBYTECODE"] = variable
    printed = subprocess.run(["bash", "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
    assert printed == f"False {ROOT / '.venv' / 'bytecode' if variable else None}\n"


@pytest.mark.parametrize(("home", "is_known"), [("/home/me", False), ("", True), ("", False)])
def test_a_user_without_name_and_home_gets_no_folder_called_tilde(tmp_path, home, is_known) -> None:
    lookup = tmp_path / "getent"
    lookup.write_text(f"#!/bin/sh\nexit {0 if is_known else 2}\n")
    lookup.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": home}
    code = f'source "{ROOT}/bin/env.sh"; echo "$HOME"'
    printed = subprocess.run(["bash", "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == (home if home or is_known else os.devnull)


@pytest.mark.parametrize("recipe", [["--recipe", "synthetic"], ["--recipe=synthetic"]], ids=" ".join)
def test_run_all_draws_the_steel_that_its_recipe_asks_for(tmp_path, recipe) -> None:
    """Every stage, and Python, is a script that prints its arguments."""
    (tmp_path / "bin").mkdir()
    for script in SCRIPTS:
        (tmp_path / "bin" / script.name).write_text(f'echo {script.stem} "$@"\n')
    for name in ("run_all", "env"):
        shutil.copy(ROOT / "bin" / f"{name}.sh", tmp_path / "bin")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to("/bin/true")
    options = [*recipe, "--input", "steel", "--epochs", "3", "--synthetic-strips", "9"]
    command = ["bash", str(tmp_path / "bin" / "run_all.sh"), *options]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    (drawn,) = (line for line in lines if line.startswith("make_input "))
    assert drawn == " ".join(["make_input --input=steel", *recipe, "--synthetic-strips 9"])


@pytest.mark.parametrize("value", [".:", "{elsewhere}"], ids=["this folder", "another folder with a bin"])
def test_scripts_find_the_repository_whatever_cdpath_says(tmp_path, value) -> None:
    (tmp_path / "bin").mkdir()
    environment = os.environ | {"CDPATH": value.format(elsewhere=tmp_path)}
    command = ["bash", "bin/make_input.sh", "--help"]
    stage = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert stage.returncode == 0, stage.stderr
    assert stage.stdout.startswith("usage: make_input.py")
