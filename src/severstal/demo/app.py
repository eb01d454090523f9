"""The demonstration's web application: a page, and one address that takes a strip and answers with its defects.

For this machine alone: requests that name another host are refused, so no site open in the browser can reach it
through a name of its own, and an upload is bounded before it is read.
"""

from __future__ import annotations

import threading
from importlib.resources import files
from pathlib import Path

from flask import Flask, Response, abort, jsonify, render_template_string, request
from werkzeug.exceptions import HTTPException

from severstal.errors import InputError
from severstal.inference.inspection import Inspector, Seen
from severstal.inference.outlines import COLOURS, svg_path

HOSTS = ["127.0.0.1", "localhost"]
LARGEST = 4 * 2**20  # bytes of an upload: a strip of 256x1600 has some 100 KB
EXAMPLES = 6


def application(inspector: Inspector, examples: list[Path], synthetic: bool) -> Flask:
    """The application around a loaded ensemble.

    Args:
        examples: strips to try it on, offered on the page.
    """
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST
    app.config["TRUSTED_HOSTS"] = HOSTS
    busy = threading.Lock()  # engines are not made for two threads at once

    def seen(data: bytes, name: str) -> Response:
        strip = inspector.decode(data, name)
        with busy:
            return jsonify(answer(inspector.look(strip)))

    @app.get("/")
    def page() -> str:
        return render_template_string(
            files("severstal.demo").joinpath("templates/demo.html").read_text(encoding="utf-8"),
            inspector=inspector,
            examples=[one.name for one in examples],
            colours=COLOURS,
            synthetic=synthetic,
            largest=LARGEST,
        )

    @app.post("/strip")
    def strip() -> Response:
        upload = request.files.get("strip")
        if upload is None:
            raise InputError("No strip came along: choose a JPEG file")
        return seen(upload.read(), upload.filename or "the strip")

    @app.get("/examples/<int:number>")
    def example(number: int) -> Response:
        if number >= len(examples):
            abort(404)
        return Response(examples[number].read_bytes(), mimetype="image/jpeg")

    @app.errorhandler(InputError)
    def refused(error: InputError) -> tuple[Response, int]:
        return jsonify(error=str(error)), 400

    @app.errorhandler(HTTPException)
    def failed(error: HTTPException) -> tuple[Response, int]:
        said = f"The file is larger than {LARGEST // 2**20} MB; a strip is a JPEG of some 100 KB"
        return jsonify(error=said if error.code == 413 else error.description), error.code or 500

    return app


def answer(seen: Seen) -> dict:
    """What the page is told of a strip."""
    height, width = seen.strip.shape
    return {
        "height": height,
        "width": width,
        "milliseconds": round(1000 * seen.seconds),
        "findings": [
            {
                "class": one.defect,
                "defects": one.defects,
                "area": one.area,
                "share": one.share,
                "confidence": one.confidence,
                "outline": svg_path(seen.masks[one.defect - 1]),
            }
            for one in seen.findings
        ],
    }
