"""A stand-in for Kaggle in tests: the few calls that its client makes, served on a free local port.

``StandIn`` fails in the ways that its attributes ask for, and records the requests.
"""

from __future__ import annotations

import contextlib
import json
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN, USER, KEY = "KGAT_good", "someone", "good-key"
ETAG = '"one-version"'


class StandIn:
    """Kaggle with one competition, as a context manager."""

    def __init__(self, archive: bytes = b"") -> None:
        self.archive = archive
        self.rules_accepted = True
        self.cuts: list[int] = []  # bytes after which each of the storage's next answers is cut off
        self.stall_after: int | None = None  # the storage sends so many bytes, then nothing more
        self.answers_left: int | None = None  # of the storage, before its signed address expires
        self.upload_status = 200
        self.refusal: tuple[int, str] | None = None  # what creating a submission answers
        self.ranges: list[str | None] = []
        self.uploads: list[bytes] = []
        self.submissions: list[dict] = []
        self.datasets: list[tuple[str, dict]] = []  # call and body of each created data set or version
        self.kernels: list[dict] = []
        self.code_submissions: list[dict] = []
        self.dataset_states = ["BLOBS_RECEIVED", "READY"]  # one per answer; the last one stays
        self.kernel_states = ["QUEUED", "RUNNING", "COMPLETE"]
        self.score_states = ["PENDING", "COMPLETE"]
        self.kernel_answer: dict = {}  # replaces values of the answer to a pushed notebook
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
            message = "You must accept this competition's rules before you'll be able to download files."
            return self._refuse(403, message)
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
        answer = {"ref": f"/{body['slug']}", "versionNumber": len(self.site.kernels), "error": ""}
        self._json(200, answer | self.site.kernel_answer)

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
        length = self.site.cuts.pop(0) if self.site.cuts else len(content)
        with contextlib.suppress(ConnectionError):
            if self.site.stall_after is not None:
                self.wfile.write(content[: self.site.stall_after])
                self.site.closing.wait(20)
            else:
                self.wfile.write(content[:length])

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
        """Print no line per request."""
