"""Real stages with Kaggle's real client, at the address of a stand-in and with an empty home.

``StageRunner`` runs them in this process, ``start_stage`` in another one, for tests that interrupt it. (The client's
own switch KAGGLE_API_ENVIRONMENT cannot be used: its values are fixed addresses.)
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from severstal.kaggle.competition import Competition
from severstal.kaggle.download import download
from severstal.paths import Paths
from support.commands import ROOT, arguments_of, run_stage_in_process
from support.kaggle_stand_in import TOKEN

VALID = {"KAGGLE_API_TOKEN": TOKEN}
COMPETITION = Competition(train_images=3, test_images=2, zip_bytes=4_000_000)

LAUNCH = """
import runpy, sys
from kagglesdk import kaggle_env
from severstal.kaggle.competition import Competition
from severstal.kaggle.download import download
kaggle_env._env_to_endpoint[kaggle_env.KaggleEnv.PROD] = {url!r}
download.__kwdefaults__["competition"] = {competition!r}
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class StageRunner:
    """Runs stages in this process; the first run imports the client, which takes a second."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch) -> None:
        self.home, self._patch = home, patch
        for name in filter(_is_personal, list(os.environ)):
            patch.delenv(name)
        patch.setenv("HOME", str(home))

    def run(self, stage: str, url: str, paths: Paths, *arguments: object, **credentials: str) -> CompletedProcess[str]:
        """Run a stage to its end; ``credentials`` are environment variables."""
        import kaggle
        from kagglesdk import kaggle_env

        api = kaggle.KaggleApi()
        api.config_dir = str(self.home / ".kaggle")
        api.config = str(self.home / ".kaggle" / api.config_file)
        with self._patch.context() as patch:
            for name, value in credentials.items():
                patch.setenv(name, value)
            patch.setattr(kaggle, "api", api)
            patch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, url)
            patch.setitem(download.__kwdefaults__, "competition", COMPETITION)
            patch.setattr("time.sleep", lambda seconds: None)  # the client waits 2 to 32 s before each retry
            ended = run_stage_in_process(stage, paths, *arguments, check=False)
        assert "Authentication required" not in ended.stdout, "the client printed its own help page"
        return ended


def start_stage(url: str, home: Path, stage: str, paths: Paths, **credentials: str) -> subprocess.Popen[str]:
    """Start a stage in another process; ``credentials`` are environment variables."""
    environment = {name: value for name, value in os.environ.items() if not _is_personal(name)}
    environment |= {"HOME": str(home), "PYTHONPATH": str(ROOT / "src")} | credentials
    code = LAUNCH.format(url=url, competition=COMPETITION)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(ROOT / "src" / f"{stage}.py"), *arguments_of(paths)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell makes its background jobs ignore Ctrl-C, and their children too; a user's stage receives it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def _is_personal(variable: str) -> bool:
    """Whether an environment variable would lead the client to this user's account or proxy."""
    return (
        variable.upper().startswith("KAGGLE_") or variable.lower().endswith("_proxy") or variable == "XDG_CONFIG_HOME"
    )
