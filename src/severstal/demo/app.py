"""The web application of the demo: a page, and an address that takes a strip and returns its defects.

It serves this machine alone: a request that names another host is refused, so a website that is open in the browser
cannot reach it under another name. The size of an upload is limited before it is read.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from flask import Flask, Response, abort, jsonify, render_template_string, request
from werkzeug.exceptions import HTTPException

from severstal.errors import InputError
from severstal.inference.outlines import COLOURS, encode_jpeg, svg_path
from severstal.inference.predictor import Predictor
from severstal.inference.strip_prediction import MeasuredDefects, StoredDefects

TRUSTED_HOSTS = ["127.0.0.1", "localhost"]
MAX_UPLOAD = 4 * 2**20  # bytes; a strip of 256x1600 has about 100 KB
EXAMPLES = 6  # strips that the page offers


def application(
    predictor: Predictor,
    examples: list[Path],
    synthetic_origin: str = "",
    stored: Callable[[str], StoredDefects] | None = None,
) -> Flask:
    """The application around a loaded ensemble.

    Args:
        examples: strips that the page offers to try.
        synthetic_origin: how synthetic steel taught the networks, for the page to say; empty where none did.
        stored: reads the defects of an image of a result by its path; None where the demo has no result.
    """
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_UPLOAD
    app.config["TRUSTED_HOSTS"] = TRUSTED_HOSTS
    lock = threading.Lock()  # an engine cannot run in two threads at the same time

    @app.get("/")
    def page() -> str:
        return render_template_string(
            files("severstal.demo").joinpath("templates/demo.html").read_text(encoding="utf-8"),
            predictor=predictor,
            examples=[path.name for path in examples],
            colours=COLOURS,
            synthetic_origin=synthetic_origin,
            max_upload=MAX_UPLOAD,
            has_result=stored is not None,
        )

    @app.post("/strip")
    def strip() -> Response:
        upload = request.files.get("strip")
        if upload is None:
            raise InputError("The request holds no strip: choose an image")
        decoded = predictor.decode(upload.read(), upload.filename or "the strip")
        with lock:
            prediction = predictor.predict(decoded)
        return jsonify(as_json(prediction))

    @app.get("/stored")
    def stored_strip() -> Response:
        if stored is None:
            raise InputError("The demo has no result: start it with --result DEST")
        defects = stored(request.args.get("path", ""))
        picture = encode_jpeg(np.repeat(defects.strip[..., np.newaxis], 3, axis=2))
        return jsonify(as_json(defects) | {"picture": base64.b64encode(picture).decode()})

    @app.get("/examples/<int:number>")
    def example(number: int) -> Response:
        if number >= len(examples):
            abort(404)
        return Response(examples[number].read_bytes(), mimetype="image/jpeg")

    @app.errorhandler(InputError)
    def bad_input(error: InputError) -> tuple[Response, int]:
        return jsonify(error=str(error)), 400

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> tuple[Response, int]:
        too_large = f"The file is larger than {MAX_UPLOAD // 2**20} MB; a strip is a JPEG of about 100 KB"
        return jsonify(error=too_large if error.code == 413 else error.description), error.code or 500

    return app


def as_json(prediction: MeasuredDefects) -> dict[str, Any]:
    """The answer to the page: size and time, and for each class that occurs its measurements and outline."""
    height, width = prediction.strip.shape
    return {
        "height": height,
        "width": width,
        "milliseconds": round(1000 * prediction.seconds),
        "defects": [
            {
                "class": defect,
                "count": int(prediction.defect_counts[defect - 1]),
                "area": int(prediction.areas[defect - 1]),
                "share": float(prediction.areas[defect - 1] / prediction.strip.size),
                "confidence": float(prediction.confidences[defect - 1]),
                "outline": svg_path(prediction.masks[defect - 1]),
            }
            for defect in prediction.classes
        ],
    }
