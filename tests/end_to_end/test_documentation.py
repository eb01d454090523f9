"""The documentation: its links lead somewhere, and its commands are those of the scripts."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from support.commands import ROOT, run_stage_in_process

from severstal.paths import Paths

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
COMMAND = re.compile(r"bash bin/(\w+)\.sh([^`#\n]*)")
OPTION = re.compile(r"(?<=\s)--[a-z][a-z0-9-]*")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_of_a_page_leads_to_a_file_of_the_repository(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_command_of_a_page_exists_with_its_options(page: Path) -> None:
    for script, arguments in COMMAND.findall(page.read_text(encoding="utf-8")):
        known = options_of(script)
        unknown = [option for option in OPTION.findall(arguments) if option not in known]
        assert unknown == [], f"bash bin/{script}.sh{arguments}"


@cache
def options_of(script: str) -> frozenset[str]:
    """The options that a script of bin/ handles itself, and those of the stage that it runs."""
    text = (ROOT / "bin" / f"{script}.sh").read_text(encoding="utf-8")
    if script == "run_all":
        text += "src/make_folds.py"  # it takes every value of the recipe
    stage = re.search(r"src/([\w/]+)\.py", text)
    if stage:
        text += run_stage_in_process(stage[1], Paths(ROOT), "--help").stdout
    return frozenset(re.findall(r"--[a-z][a-z0-9-]*", text))
