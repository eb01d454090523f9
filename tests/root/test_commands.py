"""Commands in messages act on the experiment that the message is about, from wherever its folders are named."""

from __future__ import annotations

from pathlib import Path

from severstal.commands import command
from severstal.console import parser, paths_of
from severstal.paths import Paths


def test_a_command_names_the_folders_that_are_not_the_default_ones() -> None:
    mill = Paths(input=Path("/data/mill"), folds=Path("/data/folds of the mill"))
    assert command(Paths(), "tune") == "bash bin/tune.sh"
    assert command(mill, "train", "resnet34", 3, "--tta", "a b") == (
        "bash bin/train.sh resnet34 3 --tta 'a b' --input /data/mill --folds '/data/folds of the mill'"
    )


def test_a_default_folder_that_is_a_link_to_another_disk_is_not_named(tmp_path, monkeypatch) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "input").symlink_to(tmp_path / "disk")
    monkeypatch.setattr(Paths.__init__, "__defaults__", (tmp_path / "input", *Paths.__init__.__defaults__[1:]))
    assert command(paths_of(parser("").parse_args([])), "tune") == "bash bin/tune.sh"
