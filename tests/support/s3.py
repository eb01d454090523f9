"""A real interface of S3 on this machine: moto's server, in an environment of its own (requirements-moto.txt)."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.commands import ROOT

SERVER = ROOT / ".venv" / "moto" / "bin" / "moto_server"


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """A server on a free port of the loopback; the variables of its endpoint and credentials."""
    if not SERVER.exists():
        pytest.skip("moto is not installed: bash bin/setup.sh --dev")
    command = [str(SERVER), "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            found = next(filter(None, (re.search(r"http://127\.0\.0\.1:\d+", line) for line in server.stderr)))
            threading.Thread(target=server.stderr.read, daemon=True).start()  # a full pipe would stop the server
            yield {
                "AWS_ENDPOINT_URL": found[0],
                "AWS_ACCESS_KEY_ID": "user",
                "AWS_SECRET_ACCESS_KEY": "password",
                "AWS_REGION": "us-east-1",
            }
        finally:
            server.terminate()
