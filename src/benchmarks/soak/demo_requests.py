"""The demo under requests of all kinds, good and hostile: it answers, keeps its memory, and lets nobody read a file."""

from __future__ import annotations

import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.soak.mutations import mutate
from benchmarks.soak.small_run import Failure, SmallRun
from severstal.data import strips
from severstal.paths import ROOT, Paths

REQUESTS = 100  # of one attempt
MAX_MEMORY = 1536 << 10  # KiB
MAX_SECONDS = 20.0
SECRET = "severstal-soak-secret"
TARGETS = (
    "/../../../../etc/passwd", "/examples/../secret.txt", "/examples/%2e%2e%2fsecret.txt", "/static/../secret.txt",
    "/examples/-1", "/examples/99999999999999999999", "//etc/passwd", "/examples/0%00", "/strip/../secret.txt",
    "file:///etc/passwd",
)  # fmt: skip


def attempt(run: SmallRun, seed: int) -> None:
    """Send requests to a server of its own.

    Raises:
        Failure: for an answer of another kind than expected, a file's content in it, no answer, or too much memory.
    """
    run.rewind("report")
    run.harms += REQUESTS
    check(run.paths, seed)


def check(paths: Paths, seed: int) -> None:
    """Send requests to the demo of a finished experiment."""
    (paths.input / "secret.txt").write_text(SECRET)
    image = (paths.test_images / strips.listing(paths.test_images)[0]).read_bytes()
    dice, open_sockets = random.Random(seed), []
    with server(paths) as (port, pid):
        for number in range(REQUESTS):
            name, send = dice.choice(list(KINDS.items()))
            connection = socket.create_connection(("127.0.0.1", port), timeout=MAX_SECONDS)
            try:
                expected = send(connection, port, image, dice)
                if expected is None:  # it stays open, as a slow client's does
                    open_sockets.append(connection)
                    continue
                answer = receive(connection)
            except OSError as error:
                raise Failure(f"request {number} ({name}): {error}") from None
            code = int(answer[9:12]) if answer.startswith(b"HTTP/") else 0
            if code not in expected:
                raise Failure(f"request {number} ({name}): code {code}, expected {expected}: {answer[:200]!r}")
            if SECRET.encode() in answer or b"root:" in answer or b"Traceback" in answer:
                raise Failure(f"request {number} ({name}): the answer holds what nobody may read: {answer[-200:]!r}")
            connection.close()
        if peak_memory(pid) > MAX_MEMORY:
            raise Failure(f"{peak_memory(pid) >> 10} MiB of memory")
        for connection in open_sockets:
            connection.close()


@contextmanager
def server(paths: Paths) -> Iterator[tuple[int, int]]:
    """The stage itself on a free port; yields port and process id."""
    command = [sys.executable, "-u", str(ROOT / "src" / "demo.py"), "--port=0", "--engine=onnxruntime", "--all"]
    command += [f"--input={paths.input}", f"--folds={paths.folds}", f"--submissions={paths.submissions}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        output = ""
        for line in process.stdout or ():
            output += line
            if address := re.search(r"http://[^:]+:(\d+)", line):
                break
        else:
            raise Failure(f"the demo does not start: {output}")
        reader = threading.Thread(target=lambda: list(process.stdout or ()))  # a full pipe would stop the demo
        reader.start()
        try:
            yield int(address[1]), process.pid
        finally:
            process.kill()
            reader.join()


def receive(connection: socket.socket) -> bytes:
    """The answer up to the end of the connection, which every request asks to be closed."""
    parts: list[bytes] = []
    deadline = time.monotonic() + MAX_SECONDS
    while time.monotonic() < deadline:
        try:
            part = connection.recv(1 << 16)
        except ConnectionResetError:  # the server ended an upload that it refuses
            part = b""
        if not part:
            return b"".join(parts)
        parts.append(part)
    raise TimeoutError(f"no end of the answer after {MAX_SECONDS:.0f} s")


def request(port: int, method: str, target: str, body: bytes = b"", **headers: str) -> bytes:
    fields = {"Host": f"127.0.0.1:{port}", "Connection": "close", "Content-Length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def upload(image: bytes) -> tuple[bytes, dict[str, str]]:
    head = b'--b\r\nContent-Disposition: form-data; name="strip"; filename="a.jpg"\r\n\r\n'
    return head + image + b"\r\n--b--\r\n", {"Content_Type": "multipart/form-data; boundary=b"}


def peak_memory(pid: int) -> int:
    """KiB."""
    (line,) = [x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmHWM")]
    return int(line.split()[1])


Send = Callable[[socket.socket, int, bytes, random.Random], tuple[int, ...] | None]


def _good(connection: socket.socket, port: int, image: bytes, dice: random.Random) -> tuple[int, ...]:
    body, headers = upload(image)
    connection.sendall(request(port, "POST", "/strip", body, Origin=f"http://127.0.0.1:{port}", **headers))
    return (200,)


def _page(connection: socket.socket, port: int, image: bytes, dice: random.Random) -> tuple[int, ...]:
    connection.sendall(request(port, "GET", dice.choice(("/", "/examples/0"))))
    return (200,)


def _damaged(connection: socket.socket, port: int, image: bytes, dice: random.Random) -> tuple[int, ...]:
    body, headers = upload(mutate(image, dice))
    connection.sendall(request(port, "POST", "/strip", body, **headers))
    return (200, 400)  # a changed bit of a JPEG may decode


def _damaged_request(connection: socket.socket, port: int, image: bytes, dice: random.Random) -> tuple[int, ...]:
    body, headers = upload(image)
    connection.sendall(mutate(request(port, "POST", "/strip", body, **headers), dice))
    connection.shutdown(socket.SHUT_WR)
    return (0, 200, 400, 403, 404, 405, 413, 415, 431, 501)  # 0: the rest of the request never came


def _other_host(connection: socket.socket, port: int, image: bytes, dice: random.Random) -> tuple[int, ...]:
    connection.sendall(
        request(port, "GET", "/", Host=dice.choice(("mill.example", f"evil:{port}", "127.0.0.1.nip.io")))
    )
    return (400,)


def _other_origin(connection: socket.socket, port: int, image: bytes, dice: random.Random) -> tuple[int, ...]:
    body, headers = upload(image)
    origin = dice.choice(("http://mill.example", "null", "https://127.0.0.1", f"http://127.0.0.1:{port + 1}"))
    connection.sendall(request(port, "POST", "/strip", body, Origin=origin, **headers))
    return (403,)


def _file(connection: socket.socket, port: int, image: bytes, dice: random.Random) -> tuple[int, ...]:
    connection.sendall(request(port, "GET", dice.choice(TARGETS)))
    return (400, 404)


def _method(connection: socket.socket, port: int, image: bytes, dice: random.Random) -> tuple[int, ...]:
    connection.sendall(request(port, dice.choice(("PUT", "DELETE", "TRACE", "PATCH")), dice.choice(("/", "/strip"))))
    return (405,)


def _too_large(connection: socket.socket, port: int, image: bytes, dice: random.Random) -> tuple[int, ...]:
    connection.sendall(request(port, "POST", "/strip", Content_Length=str(dice.choice((1 << 30, 1 << 62)))))
    return (413,)


def _endless(connection: socket.socket, port: int, image: bytes, dice: random.Random) -> tuple[int, ...]:
    """Chunks without end; the server has to stop reading."""
    head = f"POST /strip HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nTransfer-Encoding: chunked\r\n"
    connection.sendall((head + f"Content-Type: {upload(image)[1]['Content_Type']}\r\n\r\n").encode())
    chunk = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
    for _ in range(1 << 10):
        try:
            connection.sendall(chunk)
        except OSError:
            return (0, 413)
    raise OSError("the server reads 64 MB of an endless upload")


def _slow(connection: socket.socket, port: int, image: bytes, dice: random.Random) -> None:
    body, headers = upload(image)
    sent = request(port, "POST", "/strip", body, **headers)
    connection.sendall(sent[: dice.randrange(len(sent))])


KINDS: dict[str, Send] = {
    "good": _good,
    "page": _page,
    "damaged image": _damaged,
    "damaged request": _damaged_request,
    "other host": _other_host,
    "other origin": _other_origin,
    "file": _file,
    "method": _method,
    "too large": _too_large,
    "endless": _endless,
    "slow": _slow,
}
