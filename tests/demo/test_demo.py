"""The demonstration: its server from outside, and its page in a real browser."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import cv2
import numpy as np
import pytest
from support.commands import ROOT, arguments_of
from support.exported_run import write_exported

from severstal.data import strips
from severstal.demo import app
from severstal.inference.inspection import Inspector
from severstal.paths import Paths


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Paths:
    return write_exported(tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="module")
def inspector(run) -> Inspector:
    return Inspector(run, "onnxruntime")


@pytest.fixture(scope="module")
def client(run, inspector):
    return app.application(inspector, [run.test_images / strips.listing(run.test_images)[0]], False).test_client()


def send(client, data: bytes, name: str = "strip.jpg", **more):
    import io

    return client.post("/strip", data={"strip": (io.BytesIO(data), name)}, **more)


def test_a_strip_is_answered_with_what_the_ensemble_finds(run, inspector, client) -> None:
    image = run.test_images / strips.listing(run.test_images)[0]
    told = send(client, image.read_bytes()).get_json()
    seen = inspector.look(strips.read(image))
    assert told["findings"], "a strip without a defect would prove nothing"
    assert [(one["class"], one["area"], one["defects"]) for one in told["findings"]] == [
        (one.defect, one.area, one.defects) for one in seen.findings
    ]
    assert (told["height"], told["width"]) == (64, 96)


def jpeg_of(height: int, width: int) -> bytes:
    return cv2.imencode(".jpg", np.full((height, width), 90, dtype=np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        (b"", 400, "is empty"),
        (b"GIF89a and more", 400, "is no JPEG"),
        (jpeg_of(64, 96)[:-200], 400, "is cut short"),
        (jpeg_of(50, 96), 400, "is 50x96 pixels (height x width) where 64x96 is expected"),
        (bytes(app.LARGEST + 1), 413, "larger than 4 MB"),
    ],
    ids=["empty", "no JPEG", "cut short", "another size", "too large"],
)
def test_a_bad_upload_gets_a_friendly_message(client, data, code, said) -> None:
    reply = send(client, data)
    assert reply.status_code == code
    assert said in reply.get_json()["error"]


def test_a_request_without_a_strip_gets_a_message(client) -> None:
    reply = client.post("/strip")
    assert (reply.status_code, "choose a JPEG" in reply.get_json()["error"]) == (400, True)


def test_another_host_name_is_refused(client) -> None:
    assert client.get("/", headers={"Host": "mill.example"}).status_code == 400
    assert client.get("/").status_code == 200


def test_only_listed_strips_are_given_out(client) -> None:
    assert client.get("/examples/0").mimetype == "image/jpeg"
    assert client.get("/examples/1").status_code == 404
    assert client.get("/examples/../../folds/recipe.json").status_code == 404


@pytest.fixture(scope="module")
def server(run) -> Iterator[str]:
    """The stage itself, on a free port; its address."""
    command = [
        sys.executable,
        "-u",
        str(ROOT / "src" / "demo.py"),
        *arguments_of(run),
        "--port=0",
        "--engine=onnxruntime",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = ""
    for line in process.stdout:
        said += line
        if found := re.search(r"http://\S+", line):
            break
    else:
        pytest.fail(said)
    yield found[0]
    process.terminate()
    process.wait(10)


def test_the_stage_serves_this_machine_alone_and_answers_within_a_second(run, server) -> None:
    assert server.startswith("http://127.0.0.1:")
    data = (run.test_images / strips.listing(run.test_images)[0]).read_bytes()
    edge = "edge-of-a-part"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="strip"; filename="a.jpg"\r\n\r\n'.encode()
    body = head + data + f"\r\n--{edge}--\r\n".encode()
    request = Request(f"{server}strip", body, {"Content-Type": f"multipart/form-data; boundary={edge}"})
    with urlopen(request, timeout=20) as reply:
        assert json.load(reply)["milliseconds"] < 1000


def test_a_port_in_use_is_named(run, server) -> None:
    port = server.rstrip("/").rpartition(":")[2]
    command = [
        sys.executable,
        str(ROOT / "src" / "demo.py"),
        *arguments_of(run),
        "--port",
        port,
        "--engine=onnxruntime",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"port {port} cannot be had" in done.stderr


@pytest.fixture
def page(browser, server) -> Iterator:
    opened = browser.new_page(viewport={"width": 390, "height": 800})
    complaints = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda message: complaints.append(message.text))
    opened.goto(server)
    yield opened
    # A browser notes every reply of 400 by itself; that is what the refused uploads are for.
    assert [one for one in complaints if "status of 400" not in one] == []
    opened.close()


def rows(page) -> list[list[str]]:
    return page.eval_on_selector_all("#findings tbody tr", "all => all.map(r => [...r.cells].map(c => c.textContent))")


def test_a_chosen_strip_shows_its_defects(page, run, inspector) -> None:
    image = run.test_images / strips.listing(run.test_images)[1]
    page.set_input_files("#file", image)
    page.wait_for_selector("#result:not([hidden])")
    expected = inspector.look(strips.read(image)).findings
    assert [row[:3] for row in rows(page)] == [
        [f"class {one.defect}", str(one.defects), f"{one.area:,}"] for one in expected
    ]
    assert page.locator("#outlines path").count() == len(expected) > 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


DROP = """([bytes, name]) => {
  const carried = new DataTransfer();
  carried.items.add(new File([new Uint8Array(bytes)], name, { type: "image/jpeg" }));
  document.dispatchEvent(new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true }));
}"""


def test_a_dropped_strip_works_after_a_refused_one(page, run) -> None:
    page.evaluate(DROP, [list(b"no picture"), "notes.txt"])
    page.wait_for_selector("#error:not([hidden])")
    assert "notes.txt is no JPEG" in page.inner_text("#error")
    assert page.is_hidden("#result")
    image: Path = run.test_images / strips.listing(run.test_images)[0]
    page.evaluate(DROP, [list(image.read_bytes()), image.name])
    page.wait_for_selector("#result:not([hidden])")
    assert page.is_hidden("#error")
    assert image.name in page.inner_text("#told")


def test_an_example_is_looked_at_by_keyboard(page) -> None:
    page.focus("[data-example='2']")
    page.keyboard.press("Enter")
    page.wait_for_selector("#result:not([hidden])")
    assert rows(page)
