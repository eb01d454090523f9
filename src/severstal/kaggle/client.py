"""Kaggle's own client, signed in, and an explanation with a cure for every error that it can raise.

The client is imported inside the functions: its import takes a second and asks for a token.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from severstal.errors import InputError
from severstal.kaggle.competition import SITE, Competition

logger = logging.getLogger(__name__)

NEW_TOKEN = (
    f"log in at {SITE}/settings/api, press 'Generate New Token' and save the token as ~/.kaggle/access_token "
    "(or export KAGGLE_API_TOKEN=...); an older kaggle.json goes into ~/.kaggle/ (or export KAGGLE_USERNAME "
    "and KAGGLE_KEY)"
)


def sign_in(competition: Competition) -> Any:
    """Kaggle's client with a valid token.

    ``import kaggle`` authenticates, hides the errors of that and prints a help page; ``authenticate()`` exits the
    process if there is no token. So the import's output is dropped, ``authenticate()`` is called again, and both ways
    of failing become an InputError.

    Raises:
        InputError: if the client is not installed, there is no valid token, or Kaggle does not answer.
    """
    try:
        _config_folder().mkdir(parents=True, exist_ok=True)  # the import does this, too, and fails where it cannot
    except OSError:
        os.environ["KAGGLE_CONFIG_DIR"] = os.devnull  # which exists and holds no kaggle.json
    try:
        with redirect_stdout(io.StringIO()):
            import kaggle
    except ImportError as error:
        raise InputError(f"{error}: install Kaggle's client with `bash bin/setup.sh`") from error
    from requests import RequestException

    output = io.StringIO()
    try:
        with redirect_stdout(output):
            kaggle.api.authenticate()
    except (RequestException, json.JSONDecodeError) as error:
        raise explain(error, competition) from error
    except (SystemExit, ValueError):  # ValueError: the token does not fit into an HTTP header, such as two lines
        raise InputError(_no_token(competition)) from None
    for line in output.getvalue().splitlines():  # such as the warning that others can read kaggle.json
        logger.info(line)
    return kaggle.api


def explain(error: Exception, competition: Competition, *, uploading: bool = False) -> InputError:
    """The InputError, with a cure, for what a call to Kaggle raised."""
    response = getattr(error, "response", None)
    # Compared with None: a requests response of 4xx is false as a bool.
    status = None if response is None else response.status_code
    message = re.sub(r"\?\S+", "", str(error))  # without the signature at the end of a storage address
    if status is None:
        return InputError(f"no answer from Kaggle: check network, proxy, login page and try again ({message})")
    if status == 401 and not _tokens():
        return InputError(_no_token(competition))
    return InputError(f"Kaggle refused ({status}: {message}): {_cure(status, competition, uploading)}")


def _cure(status: int, competition: Competition, uploading: bool) -> str:
    tokens = ", ".join(_tokens())
    cure = {
        401: f"the token is wrong or outdated (the first of: {tokens}). For a new one, {NEW_TOKEN}",
        403: f"open {competition.page}/rules with the account of the token and accept the rules (after 'Late "
        "Submission' or 'Join'; Kaggle may want the phone number verified first), then run this again",
        429: "that is too many requests: wait some minutes and run this again",
    }.get(status, f"see {competition.page}" if status < 500 else "the fault is Kaggle's: try again later")
    if uploading and status in (400, 403):
        cure += (
            ". This is a code competition, which takes the output of a notebook instead of an uploaded file: run "
            "bin/package_kaggle.sh, then bin/submit.sh --notebook"
        )
    return cure


def _tokens() -> list[str]:
    """Where tokens were found, in the client's order: it uses the first, so an outdated one hides a valid one."""
    home, config = _home() / ".kaggle", _config_folder()
    found = ["KAGGLE_API_TOKEN"] if os.environ.get("KAGGLE_API_TOKEN") else []
    found += [str(path) for path in (home / "access_token", home / "access_token.txt") if path.exists()]
    files = (config / "kaggle.json", home / "credentials.json")
    if os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY"):
        found.append("KAGGLE_USERNAME with KAGGLE_KEY")
    return found + [str(path) for path in files if path.exists()]


def _home() -> Path:
    """The user's home folder; a place where nothing can be where none is known, as in ``docker run --user 1234``."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() raises an error
    return home if home.is_absolute() else Path(os.devnull)


def _config_folder() -> Path:
    """Where the client looks for kaggle.json."""
    home = _home() / ".kaggle"
    standard = Path(os.environ.get("XDG_CONFIG_HOME") or _home() / ".config") / "kaggle"
    return Path(os.environ.get("KAGGLE_CONFIG_DIR") or (home if home.exists() else standard))


def _no_token(competition: Competition) -> str:
    # The client ignores, without an error, a token that Kaggle does not know and a kaggle.json that it cannot read.
    if found := _tokens():
        return f"no valid Kaggle token in {', '.join(found)} (outdated or damaged). For one, {NEW_TOKEN}"
    return (
        f"no Kaggle token found. For one, {NEW_TOKEN}. For the data a browser is enough: download "
        f"{competition.slug}.zip from {competition.page}/data into the --input folder and run this again"
    )
