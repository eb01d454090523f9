"""Commands as messages print them: pasted, they act on the experiment that the message is about."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from severstal.paths import Paths


def command(paths: Paths, script: str, *arguments: object) -> str:
    """A command of ``bin/``, such as ``bash bin/train.sh resnet34 3 --folds folds/mill``.

    The folders of ``paths`` are named where they are not the default ones.

    Args:
        script: name of the script, without its ending.
        arguments: they are quoted where the shell needs it.
    """
    default = _by_option(Paths())
    words = [f"bin/{script}.sh", *map(str, arguments)]
    for option, folder in _by_option(paths).items():
        if folder.resolve() != default[option].resolve():
            words += [option, short(folder)]
    return f"bash {shlex.join(words)}"


def folder_options(paths: Paths) -> list[str]:
    """The options that name all folders of an experiment, for a process that is started."""
    return [part for option, folder in _by_option(paths).items() for part in (option, str(folder))]


def short(file: Path | str) -> str:
    """A path as seen from the working folder, where that is shorter."""
    relative = os.path.relpath(file)
    return min(str(file), relative, key=len) if isinstance(file, Path) else str(file)


def _by_option(paths: Paths) -> dict[str, Path]:
    return {"--input": paths.input, "--folds": paths.folds, "--submissions": paths.submissions}
