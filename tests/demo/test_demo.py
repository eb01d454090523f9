"""The demonstration: its server from outside, and its page in a real browser."""

from __future__ import annotations

import base64
import io
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
from flask.testing import FlaskClient
from support.commands import ROOT, arguments_of, run_stage_in_process
from werkzeug.test import TestResponse

from severstal import Predictor
from severstal.data import images, strips
from severstal.demo import app
from severstal.paths import Paths


@pytest.fixture(scope="module")
def predictor(exported) -> Predictor:
    return Predictor(exported.folds, "onnxruntime")


@pytest.fixture(scope="module")
def client(exported, predictor) -> FlaskClient:
    return app.application(predictor, [image_of(exported, 0)]).test_client()


def image_of(exported: Paths, number: int) -> Path:
    return exported.test_images / strips.listing(exported.test_images)[number]


def send(client: FlaskClient, data: bytes, name: str = "strip.jpg") -> TestResponse:
    return client.post("/strip", data={"strip": (io.BytesIO(data), name)})


def test_a_strip_is_answered_with_what_the_predictor_finds(exported, predictor, client) -> None:
    answer = send(client, image_of(exported, 0).read_bytes()).get_json()
    expected = predictor.predict(image_of(exported, 0))
    assert expected.classes, "a strip without a defect would prove nothing"
    assert [defect["class"] for defect in answer["defects"]] == expected.classes
    for defect in answer["defects"]:
        index = defect["class"] - 1
        assert defect["area"] == expected.areas[index]
        assert defect["count"] == expected.defect_counts[index]
        assert defect["confidence"] == expected.confidences[index]
        assert defect["outline"].startswith("M")
    assert (answer["height"], answer["width"]) == (64, 96)


def test_the_page_says_what_the_networks_learned_from_and_which_are_left_out(exported, client) -> None:
    page = client.get("/").text
    assert "2 of 2 networks" in page
    assert "synthetic steel" not in page
    assert "--all" not in page
    smaller = Predictor(exported.folds, "onnxruntime")
    smaller.fit_to_budget(smaller.measure(), 0)
    page = app.application(smaller, [], "trained on synthetic steel").test_client().get("/").text
    assert "1 of 2 networks" in page
    assert "trained on synthetic steel" in page
    assert "<code>--all</code>" in page


def jpeg_of(height: int, width: int) -> bytes:
    return cv2.imencode(".jpg", np.full((height, width), 90, dtype=np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        (b"", 400, "is empty"),
        (b"GIF89a and more", 400, "is no JPEG"),
        (jpeg_of(64, 96)[:-200], 400, "is corrupt or cut short"),
        (jpeg_of(50, 96), 400, "is 50x96 pixels (height x width) where 64x96 is expected"),
        (bytes(app.MIN_UPLOAD_LIMIT + 1), 413, "larger than 4 MB"),
    ],
    ids=["empty", "no JPEG", "cut short", "another size", "too large"],
)
def test_a_bad_upload_gets_a_message_that_names_the_fault(client, data, code, message) -> None:
    reply = send(client, data)
    assert reply.status_code == code
    assert message in reply.get_json()["error"]


def test_a_request_without_a_strip_gets_a_message(client) -> None:
    reply = client.post("/strip")
    assert (reply.status_code, "choose an image" in reply.get_json()["error"]) == (400, True)


def test_another_host_name_is_refused(client) -> None:
    assert client.get("/", headers={"Host": "mill.example"}).status_code == 400
    assert client.get("/").status_code == 200


def test_only_the_examples_can_be_downloaded(client) -> None:
    assert client.get("/examples/0").status_code == 200
    assert client.get("/examples/1").status_code == 404
    for path in (
        "/examples/../../folds/recipe.json",
        "/examples/-1",
        "/examples/%2e%2e%2frecipe.json",
        "/static/app.py",
    ):
        assert client.get(path).status_code == 404, path


@pytest.mark.parametrize(("origin", "code"), [("http://mill.example", 403), ("null", 403), ("http://localhost", 200)])
def test_only_its_own_page_may_send_strips(exported, client, origin, code) -> None:
    data = {"strip": (io.BytesIO(image_of(exported, 0).read_bytes()), "strip.jpg")}
    assert client.post("/strip", data=data, headers={"Origin": origin}).status_code == code


def test_no_other_page_can_frame_or_embed_it(client) -> None:
    headers = client.get("/examples/0").headers
    assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_a_tiff_is_answered_like_the_jpeg_and_with_a_picture_that_browsers_show(exported, client) -> None:
    jpeg = image_of(exported, 0)
    tiff = cv2.imencode(".tiff", strips.read(jpeg))[1].tobytes()
    answers = [send(client, data).get_json() for data in (jpeg.read_bytes(), tiff)]
    assert answers[0]["defects"] == answers[1]["defects"]
    picture = base64.b64decode(answers[1]["picture"].removeprefix("data:image/jpeg;base64,"))
    assert np.abs(images.decode(picture, "picture").astype(int) - strips.read(jpeg)).mean() < 5


def test_a_name_with_html_is_shown_and_not_run(exported, predictor, tmp_path) -> None:
    example = tmp_path / '"><img src=x onerror=alert(1)>.jpg'
    example.write_bytes(image_of(exported, 0).read_bytes())
    page = app.application(predictor, [example]).test_client().get("/").text
    assert "<img src=x" not in page
    assert "&gt;&lt;img src=x onerror=alert(1)&gt;.jpg" in page


@pytest.fixture(scope="module")
def server(exported) -> Iterator[str]:
    """The address of the stage itself, on a free port."""
    stage = [sys.executable, "-u", str(ROOT / "src" / "demo.py"), *arguments_of(exported)]
    command = [*stage, "--port=0", "--engine=onnxruntime", "--all"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        output = ""
        for line in process.stdout or ():
            output += line
            if address := re.search(r"http://\S+", line):
                break
        else:
            pytest.fail(f"the demo ended without an address:\n{output}")
        yield address[0]
        process.terminate()


def test_the_stage_serves_this_machine_and_answers_an_upload(exported, predictor, server) -> None:
    assert server.startswith("http://127.0.0.1:")
    boundary = "boundary-of-a-part"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="strip"; filename="a.jpg"\r\n\r\n'.encode()
    body = head + image_of(exported, 0).read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    request = Request(f"{server}strip", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})
    with urlopen(request, timeout=60) as reply:
        answer = json.load(reply)
    assert [defect["class"] for defect in answer["defects"]] == predictor.predict(image_of(exported, 0)).classes
    assert answer["milliseconds"] >= 0


def test_a_port_in_use_is_named(exported, server) -> None:
    port = server.rstrip("/").rpartition(":")[2]
    done = run_stage_in_process("demo", exported, "--port", port, "--engine=onnxruntime", check=False)
    assert done.returncode == 2
    assert f"port {port} cannot be opened" in done.stderr


@pytest.fixture
def page(browser, server) -> Iterator:
    opened = browser.new_page(viewport={"width": 390, "height": 800})
    messages = []
    opened.on("pageerror", lambda error: messages.append(str(error)))
    opened.on("console", lambda message: messages.append(message.text))
    opened.goto(server)
    yield opened
    # Browsers log every reply of status 400, which a refused upload gets.
    assert [message for message in messages if "status of 400" not in message] == []
    opened.close()


def rows(page) -> list[list[str]]:
    return page.eval_on_selector_all("#defects tbody tr", "all => all.map(r => [...r.cells].map(c => c.textContent))")


def test_a_chosen_strip_shows_its_defects(page, exported, predictor) -> None:
    page.set_input_files("#file", image_of(exported, 1))
    page.wait_for_selector("#result:not([hidden])")
    expected = predictor.predict(image_of(exported, 1))
    assert expected.classes, "a strip without a defect would prove nothing"
    assert [row[:3] for row in rows(page)] == [
        [f"class {defect}", str(expected.defect_counts[defect - 1]), f"{expected.areas[defect - 1]:,}"]
        for defect in expected.classes
    ]
    assert page.locator("#outlines path").count() == len(expected.classes)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


DROP = """([bytes, name]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/jpeg" }));
  document.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


def test_a_dropped_strip_works_after_a_refused_one(page, exported) -> None:
    page.evaluate(DROP, [list(b"no picture"), "notes.txt"])
    page.wait_for_selector("#error:not([hidden])")
    assert "notes.txt is no JPEG" in page.inner_text("#error")
    assert page.is_hidden("#result")
    image = image_of(exported, 0)
    page.evaluate(DROP, [list(image.read_bytes()), image.name])
    page.wait_for_selector("#result:not([hidden])")
    assert page.is_hidden("#error")
    assert image.name in page.inner_text("#summary")


def test_an_example_can_be_chosen_with_the_keyboard(page) -> None:
    page.focus("[data-example='2']")
    page.keyboard.press("Enter")
    page.wait_for_selector("#result:not([hidden])")
    assert rows(page)
