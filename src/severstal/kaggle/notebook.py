"""The way of a code competition: data set up, notebook up, wait for it, submit what it wrote, wait for the score.

Kaggle's own client does each step; here they are put in order, waited for, and their troubles put into words.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from severstal.artifacts import read_json, write_json
from severstal.console import duration
from severstal.errors import InputError
from severstal.kaggle.client import SEVERSTAL, SITE, Competition, client_for, explained
from severstal.kaggle.package import OWNER

DATASET_METADATA, KERNEL_METADATA = "dataset-metadata.json", "kernel-metadata.json"
EVERY = 20.0  # seconds between two looks
PATIENCE = {"data set": 3600.0, "notebook": 3 * 3600.0, "score": 3 * 3600.0}  # a GPU may have to be waited for

Say = Callable[[str], None]


def plan(dataset: Path, kernel: Path) -> list[str]:
    """What would be uploaded and done, as lines, from the packaged folders alone.

    Raises:
        InputError: if they are not there.
    """
    made, notebook = _metadata(dataset, DATASET_METADATA), _metadata(kernel, KERNEL_METADATA)
    parts = sorted(part for part in dataset.iterdir() if part.name != DATASET_METADATA)
    lines = [f"data set {made['id']}, private, from {dataset}:"]
    lines += [f"  {part.name}{'/ as a zip' if part.is_dir() else ''}, {_size(part) / 1e6:.1f} MB" for part in parts]
    lines += [
        f"notebook {notebook['id']}, private, from {kernel}: GPU {_on(notebook['enable_gpu'])}, internet "
        f"{_on(notebook['enable_internet'])}, with {', '.join(notebook['dataset_sources'])} and the competition",
        "as Kaggle's own commands:",
        f"  kaggle datasets create -p {dataset} --dir-mode zip   (later: kaggle datasets version ... -m MESSAGE)",
        f"  kaggle kernels push -p {kernel}",
        f"  kaggle competitions submit {SEVERSTAL.slug} -k {notebook['id']} -f submission.csv -v VERSION -m MESSAGE",
    ]
    return lines


def push(dataset: Path, kernel: Path, message: str, say: Say, competition: Competition = SEVERSTAL) -> str | None:
    """Do all of it; returns the public score, or None where Kaggle gives none.

    Raises:
        InputError: where a folder is missing, or Kaggle refuses or fails: in its words, with a cure.
    """
    plan(dataset, kernel)
    client = client_for(competition)
    from requests import RequestException

    try:
        _name_owner(dataset, kernel, client.get_config_value("username"))
        _push_dataset(client, dataset, message, say)
        ref, version = _push_kernel(client, kernel, say)
        answer = client.competition_submit_code("submission.csv", message, competition.slug, ref, version, quiet=True)
        say(f"submitted: {answer.message}")
        return _score(client, competition, answer.ref, say)
    except (RequestException, json.JSONDecodeError) as error:
        raise explained(error, competition) from error
    except ValueError as error:  # the client's own checks
        raise InputError(f"Kaggle's client refuses: {error}") from error


def _name_owner(dataset: Path, kernel: Path, user: str) -> None:
    """Put the token's user where the package left the owner open."""
    for file in (dataset / DATASET_METADATA, kernel / KERNEL_METADATA):
        text = json.dumps(read_json(file, "bash bin/package_kaggle.sh"))
        write_json(file, json.loads(text.replace(f'"{OWNER}/', f'"{user}/')))


def _push_dataset(client: Any, folder: Path, message: str, say: Say) -> None:
    from requests import HTTPError

    ref = _metadata(folder, DATASET_METADATA)["id"]
    try:
        client.dataset_status(ref)
        known = True
    except HTTPError as error:
        if error.response.status_code not in (403, 404):  # of a data set that is not there Kaggle says: forbidden
            raise
        known = False
    if known:
        answer = client.dataset_create_version(str(folder), message, quiet=True, dir_mode="zip")
    else:
        answer = client.dataset_create_new(str(folder), quiet=True, dir_mode="zip")
    if answer.error or answer.status.lower() == "error":
        raise InputError(f"Kaggle did not take the data set {ref}: {answer.error}")
    say(f"data set {SITE}/datasets/{ref}: {'a new version' if known else 'created'}, uploaded")
    _wait("data set", lambda: client.dataset_status(ref), "ready", ("failed", "deleted"), say)


def _push_kernel(client: Any, folder: Path, say: Say) -> tuple[str, int]:
    ref = _metadata(folder, KERNEL_METADATA)["id"]
    answer = client.kernels_push(str(folder))
    if answer.error:
        raise InputError(f"Kaggle did not take the notebook {ref}: {answer.error}")
    invalid = [*(answer.invalid_dataset_sources or ()), *(answer.invalid_competition_sources or ())]
    if invalid:
        raise InputError(
            f"Kaggle could not attach {', '.join(invalid)} to the notebook: accept the competition's rules at "
            f"{SEVERSTAL.page}/rules, and see that the data set is there"
        )
    say(f"notebook {SITE}/code/{ref}: version {answer.version_number} runs")
    state = lambda: client.kernels_status(ref).status.name.lower()  # noqa: E731
    bad = ("error", "cancel_requested", "cancel_acknowledged")
    _wait("notebook", state, "complete", bad, say, lambda: client.kernels_status(ref).failure_message)
    return ref, answer.version_number


def _score(client: Any, competition: Competition, ref: int, say: Say) -> str | None:
    def own() -> Any:
        listed = client.competition_submissions(competition.slug) or []
        return next((one for one in listed if one.ref == ref), None)

    def state() -> str:
        found = own()
        return found.status.name.lower() if found else "pending"

    _wait("score", state, "complete", ("error",), say, lambda: own().error_description)
    return own().public_score or None


def _wait(
    what: str,
    state: Callable[[], str],
    good: str,
    bad: tuple[str, ...],
    say: Say,
    reason: Callable[[], str | None] = lambda: None,
) -> None:
    """Look again and again until Kaggle is done with something; every change of its state is said."""
    began, last = time.monotonic(), None
    while (now := state()) != good:
        if now in bad:
            raise InputError(
                f"Kaggle's {what} ended with {now!r}: {reason() or 'no reason given'}; see its log on {SITE}"
            )
        if time.monotonic() - began > PATIENCE[what]:
            raise InputError(f"Kaggle's {what} is still {now!r} after {duration(PATIENCE[what])}: look at {SITE}")
        if now != last:
            say(f"{what}: {now}")
        last = now
        time.sleep(EVERY)
    say(f"{what}: {good} after {duration(time.monotonic() - began)}")


def _metadata(folder: Path, name: str) -> dict[str, Any]:
    return read_json(folder / name, "bash bin/package_kaggle.sh")


def _size(part: Path) -> int:
    files = [file for file in part.rglob("*") if file.is_file()] if part.is_dir() else [part]
    return sum(file.stat().st_size for file in files)


def _on(flag: bool) -> str:
    return "on" if flag else "off"
