"""Upload of a submission file, for competitions that take files."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from severstal.errors import InputError
from severstal.kaggle.client import explain, sign_in
from severstal.kaggle.competition import SEVERSTAL, Competition

logger = logging.getLogger(__name__)


def submit_file(csv: Path, message: str, competition: Competition = SEVERSTAL) -> None:
    """Upload ``csv`` as a submission with the description ``message``; logs Kaggle's answer.

    Raises:
        InputError: if the file is missing or empty, or Kaggle refuses it (with Kaggle's reason and a cure).
    """
    if not csv.is_file() or not csv.stat().st_size:
        raise InputError(f"{csv} is missing or empty: bin/predict.sh writes it")
    client = sign_in(competition)
    from requests import RequestException

    try:
        answer = client.competition_submit(str(csv), message, competition.slug)
    except (RequestException, json.JSONDecodeError) as error:
        raise explain(error, competition, uploading=True) from error
    # If an upload fails, the client prints the reason and returns this sentence instead of raising.
    if answer.message == client.COMPETITION_SUBMIT_UPLOAD_FAILED_MESSAGE:
        raise InputError(f"{csv} did not reach Kaggle (the reason, if known, stands above): run this again")
    logger.info("sent %s; Kaggle says: %s", csv, answer.message)
    logger.info("the score will appear at %s/submissions", competition.page)
