"""A submission to a code competition: upload data set and notebook, wait for its run, submit, wait for the score.

Kaggle's own client does each step. This module puts the steps in order, waits for their results and explains failures.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from severstal.artifacts import read_json, write_json
from severstal.commands import command
from severstal.console import duration
from severstal.errors import InputError
from severstal.folder_paths import KaggleDatasetPaths, KaggleKernelPaths
from severstal.kaggle.client import explain, sign_in
from severstal.kaggle.competition import SEVERSTAL, SITE, Competition
from severstal.kaggle.package import OWNER
from severstal.paths import Paths

logger = logging.getLogger(__name__)

POLL_SECONDS = 20.0
MAX_SECONDS = {"data set": 3600.0, "notebook": 3 * 3600.0, "score": 3 * 3600.0}  # a GPU may have to be waited for


def describe_upload(paths: Paths) -> list[str]:
    """What :func:`submit_notebook` would upload and do, as lines; read from the packaged folders alone.

    Raises:
        InputError: if a folder is missing.
    """
    dataset, kernel = paths.kaggle_dataset, paths.kaggle_kernel
    dataset_file, kernel_file = _metadata_files(paths)
    remake = command(paths, "package_kaggle")
    data, notebook = read_json(dataset_file, remake), read_json(kernel_file, remake)
    parts = sorted(part for part in dataset.iterdir() if part != dataset_file)
    return [
        f"data set {data['id']}, private, from {dataset}:",
        *(f"  {part.name}{'/ as a zip' if part.is_dir() else ''}, {_size(part) / 1e6:.1f} MB" for part in parts),
        f"notebook {notebook['id']}, private, from {kernel}: GPU {_on(notebook['enable_gpu'])}, internet "
        f"{_on(notebook['enable_internet'])}, with {', '.join(notebook['dataset_sources'])} and the competition",
        "as Kaggle's own commands:",
        f"  kaggle datasets create -p {dataset} --dir-mode zip   (later: kaggle datasets version ... -m MESSAGE)",
        f"  kaggle kernels push -p {kernel}",
        f"  kaggle competitions submit {SEVERSTAL.slug} -k {notebook['id']} -f submission.csv -v VERSION -m MESSAGE",
    ]


def submit_notebook(paths: Paths, message: str, competition: Competition = SEVERSTAL) -> str | None:
    """Upload both packaged folders, run the notebook on Kaggle, submit its ``submission.csv`` and wait for the score.

    Args:
        message: shown beside the score on Kaggle.

    Returns:
        The public score, or None if Kaggle gives none.

    Raises:
        InputError: if a folder is missing, or Kaggle refuses or fails (with Kaggle's reason and a cure).
    """
    describe_upload(paths)  # checks the folders before anything is uploaded
    client = sign_in(competition)
    from requests import RequestException

    try:
        dataset, notebook = _fill_in_owner(paths, client.get_config_value("username"))
        _push_dataset(client, paths.kaggle_dataset, dataset, message)
        version = _push_kernel(client, paths.kaggle_kernel, notebook)
        answer = client.competition_submit_code(
            "submission.csv", message, competition.slug, notebook, version, quiet=True
        )
        logger.info("submitted: %s", answer.message)
        return _score(client, competition, answer.ref)
    except (RequestException, json.JSONDecodeError) as error:
        raise explain(error, competition) from error
    except ValueError as error:  # the client's own checks
        raise InputError(f"Kaggle's client refuses: {error}") from error


def _metadata_files(paths: Paths) -> tuple[Path, Path]:
    return KaggleDatasetPaths(paths.kaggle_dataset).metadata, KaggleKernelPaths(paths.kaggle_kernel).metadata


def _fill_in_owner(paths: Paths, user: str) -> tuple[str, str]:
    """Write the token's user into metadata that were packaged without one; returns the names of both on Kaggle."""
    names = []
    for file in _metadata_files(paths):
        metadata = json.loads(file.read_text(encoding="utf-8").replace(f'"{OWNER}/', f'"{user}/'))
        write_json(file, metadata)
        names.append(metadata["id"])
    return names[0], names[1]


def _push_dataset(client: Any, folder: Path, ref: str, message: str) -> None:
    exists = _exists(client, ref)
    if exists:
        answer = client.dataset_create_version(str(folder), message, quiet=True, dir_mode="zip")
    else:
        answer = client.dataset_create_new(str(folder), quiet=True, dir_mode="zip")
    if answer.error or answer.status.lower() == "error":
        raise InputError(f"Kaggle did not take the data set {ref}: {answer.error}")
    logger.info("data set %s/datasets/%s: %s, uploaded", SITE, ref, "a new version" if exists else "created")
    _wait("data set", lambda: client.dataset_status(ref), "ready", ("failed", "deleted"))


def _exists(client: Any, ref: str) -> bool:
    from requests import HTTPError

    try:
        client.dataset_status(ref)
    except HTTPError as error:
        # Kaggle answers 403 for a data set that does not exist.
        if error.response is not None and error.response.status_code in (403, 404):
            return False
        raise
    return True


def _push_kernel(client: Any, folder: Path, ref: str) -> int:
    """Upload the notebook and wait for its run; returns its version."""
    answer = client.kernels_push(str(folder))
    if answer.error:
        raise InputError(f"Kaggle did not take the notebook {ref}: {answer.error}")
    invalid = [*(answer.invalid_dataset_sources or ()), *(answer.invalid_competition_sources or ())]
    if invalid:
        raise InputError(
            f"Kaggle could not attach {', '.join(invalid)} to the notebook: accept the competition's rules at "
            f"{SEVERSTAL.page}/rules, and check that the data set exists"
        )
    logger.info("notebook %s/code/%s: version %s runs", SITE, ref, answer.version_number)
    failures = ("error", "cancel_requested", "cancel_acknowledged")
    _wait(
        "notebook",
        lambda: client.kernels_status(ref).status.name.lower(),
        "complete",
        failures,
        lambda: client.kernels_status(ref).failure_message,
    )
    return answer.version_number


def _score(client: Any, competition: Competition, ref: int) -> str | None:
    def submission() -> Any:
        listed = client.competition_submissions(competition.slug) or []
        return next((submission for submission in listed if submission.ref == ref), None)

    def status() -> str:
        found = submission()
        return found.status.name.lower() if found else "pending"

    _wait("score", status, "complete", ("error",), lambda: submission().error_description)
    return submission().public_score or None


def _wait(
    what: str,
    status: Callable[[], str],
    success: str,
    failures: tuple[str, ...],
    reason: Callable[[], str | None] = lambda: None,
) -> None:
    """Ask for the status until Kaggle has finished; logs every change.

    Raises:
        InputError: if it ends with one of ``failures``, or takes longer than ``MAX_SECONDS``.
    """
    began, previous = time.monotonic(), None
    while (current := status()) != success:
        if current in failures:
            raise InputError(
                f"Kaggle's {what} ended with {current!r}: {reason() or 'no reason given'}; see its log on {SITE}"
            )
        if time.monotonic() - began > MAX_SECONDS[what]:
            raise InputError(f"Kaggle's {what} is still {current!r} after {duration(MAX_SECONDS[what])}: see {SITE}")
        if current != previous:
            logger.info("%s: %s", what, current)
        previous = current
        time.sleep(POLL_SECONDS)
    logger.info("%s: %s after %s", what, success, duration(time.monotonic() - began))


def _size(part: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    files = [file for file in part.rglob("*") if file.is_file()] if part.is_dir() else [part]
    return sum(file.stat().st_size for file in files)


def _on(flag: bool) -> str:
    return "on" if flag else "off"
