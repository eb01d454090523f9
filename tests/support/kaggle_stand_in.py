"""A stand-in of Kaggle for tests: the few calls that its client makes, served on a free local port.

``StandIn`` is set to misbehave through its attributes and writes down what it was asked. ``start_stage``
starts a real stage with Kaggle's real client in a process of its own, with an empty home, and that client's
address changed. (The client's own switch does not serve: of KAGGLE_API_ENVIRONMENT's values it heeds only
LOCALHOST, which is port 80.)
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOKEN, USER, KEY = "KGAT_good", "someone", "good-key"
ETAG = '"one-version"'

# The client waits 2 to 32 s before each retry: not in a test. {counts} replaces the competition's numbers.
LAUNCH = """
import runpy, sys, time
sys.path.insert(0, {src!r})
from kagglesdk import kaggle_env
from severstal.kaggle import client
kaggle_env._env_to_endpoint[kaggle_env.KaggleEnv.PROD] = {url!r}
time.sleep = lambda seconds: None
kaggle.download.__kwdefaults__["competition"] = kaggle.Competition(**{counts!r})
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def start_stage(url: str, home: Path, script: Path, *args: str, counts: dict, **env: str) -> subprocess.Popen:
    """A stage that talks to ``url`` instead of Kaggle; ``env`` holds the credentials, if any."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("KAGGLE_")}
    kept = {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")}
    kept.pop("XDG_CONFIG_HOME", None)
    code = LAUNCH.format(src=str(ROOT / "src"), url=url, counts=counts)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(script), *args],
        env={**kept, "HOME": str(home), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell has its background jobs ignore Ctrl-C, and their children too; a user's stage hears it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


class StandIn:
    """Kaggle with one competition; use as a context manager."""

    def __init__(self, archive: bytes = b"") -> None:
        self.archive = archive
        self.rules_accepted = True
        self.rules: list[int] = []  # bytes after which the storage's next answers are cut
        self.stall_after: int | None = None  # the storage sends so many bytes, then nothing more
        self.answers_left: int | None = None  # of the storage, before its signed address expires
        self.upload_status = 200
        self.refusal: tuple[int, str] | None = None  # what creating a submission answers
        self.ranges: list[str | None] = []
        self.uploads: list[bytes] = []
        self.submissions: list[dict] = []
        self.datasets: list[tuple[str, dict]] = []  # call and body of each data set or version that was made
        self.kernels: list[dict] = []
        self.code_submissions: list[dict] = []
        self.dataset_states = ["BLOBS_RECEIVED", "READY"]  # one an answer, the last for good
        self.kernel_states = ["QUEUED", "RUNNING", "COMPLETE"]
        self.score_states = ["PENDING", "COMPLETE"]
        self.kernel_answer: dict = {}  # put over that to a notebook
        self.closing = threading.Event()

    def __enter__(self) -> StandIn:
        self.server = ThreadingHTTPServer(("localhost", 0), _Handler)
        self.server.daemon_threads = True
        self.server.stand_in = self
        self.url = f"http://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()


def _next(states: list[str]) -> str:
    return states.pop(0) if len(states) > 1 else states[0]


class _Handler(BaseHTTPRequestHandler):
    @property
    def site(self) -> StandIn:
        return self.server.stand_in

    def do_POST(self) -> None:
        call = self.path.rpartition("/")[2]
        body = json.loads(self._body())
        if call == "IntrospectToken":
            return self._json(200, {"active": body["token"] == TOKEN, "username": USER})
        basic = "Basic " + b64encode(f"{USER}:{KEY}".encode()).decode()
        if self.headers.get("Authorization") not in (f"Bearer {TOKEN}", basic):
            return self._refuse(401, "Unauthenticated")
        if not self.site.rules_accepted:
            words = "You must accept this competition's rules before you'll be able to download files."
            return self._refuse(403, words)
        return getattr(self, call)(body)

    def DownloadDataFiles(self, body: dict) -> None:
        assert body == {"competitionName": "severstal-steel-defect-detection"}, body
        self.send_response(302)
        self.send_header("Location", f"{self.site.url}/storage/bundle/archive.zip?X-Goog-Signature=0a.1b")
        self.end_headers()

    def StartSubmissionUpload(self, body: dict) -> None:
        address = f"{self.site.url}/upload/{body['fileName']}"
        self._json(200, {"token": f"blob of {body['contentLength']}", "createUrl": address})

    def CreateSubmission(self, body: dict) -> None:
        if self.site.refusal:
            return self._refuse(*self.site.refusal)
        self.site.submissions.append(body)
        return self._json(200, {"message": "Successfully submitted to Severstal", "ref": 1})

    def StartBlobUpload(self, body: dict) -> None:
        address = f"{self.site.url}/upload/{body['name']}"
        self._json(200, {"token": f"blob of {body['name']}", "createUrl": address})

    def GetDatasetStatus(self, body: dict) -> None:
        if not self.site.datasets:
            return self._refuse(403, "Permission 'datasets.get' was denied")
        return self._json(200, {"status": _next(self.site.dataset_states)})

    def CreateDataset(self, body: dict) -> None:
        self.site.datasets.append(("create", body))
        self._json(200, {"ref": f"/{USER}/{body['slug']}", "status": "ok", "error": ""})

    def CreateDatasetVersion(self, body: dict) -> None:
        self.site.datasets.append(("version", body))
        self._json(200, {"ref": f"/{USER}/{body['datasetSlug']}", "status": "ok", "error": ""})

    def SaveKernel(self, body: dict) -> None:
        self.site.kernels.append(body)
        made = {"ref": f"/{body['slug']}", "versionNumber": len(self.site.kernels), "error": ""}
        self._json(200, made | self.site.kernel_answer)

    def GetKernelSessionStatus(self, body: dict) -> None:
        state = _next(self.site.kernel_states)
        self._json(
            200, {"status": state, "failureMessage": "the notebook ran into an error" if state == "ERROR" else ""}
        )

    def CreateCodeSubmission(self, body: dict) -> None:
        self.site.code_submissions.append(body)
        self._json(200, {"message": "Successfully submitted to Severstal", "ref": 7})

    def ListSubmissions(self, body: dict) -> None:
        state = _next(self.site.score_states)
        own = {"ref": 7, "status": state, "publicScore": "0.91234" if state == "COMPLETE" else ""}
        own["errorDescription"] = "Submission CSV Not Found" if state == "ERROR" else ""
        self._json(200, {"submissions": [{"ref": 6, "status": "COMPLETE", "publicScore": "0.1"}, own]})

    def do_PUT(self) -> None:
        self.site.uploads.append(self._body())
        self._json(self.site.upload_status, {})

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.site.ranges.append(wanted)
        if self.site.answers_left is not None:
            if self.site.answers_left == 0:
                return self._page(403, "<Error>Request has expired</Error>")
            self.site.answers_left -= 1
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        assert not wanted or self.headers.get("If-Range") == ETAG
        self.send_response(206 if wanted else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", ETAG)
        self.send_header("Last-Modified", "Sat, 26 Oct 2019 00:00:00 GMT")
        self.send_header("Content-Length", str(len(self.site.archive) - start))
        self.end_headers()
        return self._send(self.site.archive[start:])

    def _send(self, content: bytes) -> None:
        cut = self.site.rules.pop(0) if self.site.rules else len(content)
        with contextlib.suppress(ConnectionError):
            if self.site.stall_after is not None:
                self.wfile.write(content[: self.site.stall_after])
                self.site.closing.wait(20)
            else:
                self.wfile.write(content[:cut])

    def _refuse(self, status: int, message: str) -> None:
        self._json(status, {"code": status, "message": message})

    def _json(self, status: int, value: dict) -> None:
        self._page(status, json.dumps(value), "application/json")

    def _page(self, status: int, text: str, kind: str = "application/xml") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def log_message(self, *_: object) -> None:
        """Silence."""


COUNTS = {"train_images": 3, "test_images": 2, "zip_bytes": 4_000_000}


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def check_error(result: tuple[int, str, str], *parts: str) -> None:
    """Exit code 2 and a last line ``error: ...`` with these parts; no traceback, no page of help."""
    code, out, err = result
    assert code == 2, (out, err)
    assert "Traceback" not in err
    assert "Authentication required" not in out  # the client's own page of help
    error = err[err.index("error: ") :]
    for part in parts:
        assert part in error
