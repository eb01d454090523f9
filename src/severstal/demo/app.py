"""The web application of the demo: a page, and an address that takes a strip and returns its defects.

It serves this machine alone. A website that is open in the same browser cannot use it: a request that names another
host, as after DNS rebinding, or that a page of another origin sends is refused, and other pages can neither frame the
page nor embed its pictures. The size of an upload is limited before it is read.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
from flask import Flask, Response, abort, jsonify, render_template_string, request
from werkzeug.exceptions import HTTPException

from severstal.data.images import MAX_BYTES_PER_PIXEL
from severstal.errors import InputError
from severstal.inference.outlines import COLOURS, encode_jpeg, svg_path
from severstal.inference.predictor import Predictor
from severstal.inference.strip_prediction import MeasuredDefects, StoredDefects

TRUSTED_HOSTS = ["127.0.0.1", "localhost"]
MIN_UPLOAD_LIMIT = 4 * 2**20  # bytes; a JPEG of 256x1600 has about 100 KB
EXAMPLES = 6  # strips that the page offers
HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def application(
    predictor: Predictor,
    examples: list[Path],
    synthetic_origin: str = "",
    stored: Callable[[str], StoredDefects] | None = None,
) -> Flask:
    """The application around a loaded ensemble; its routes stand within this function, since they share the ensemble.

    Args:
        examples: strips that the page offers to try.
        synthetic_origin: how synthetic steel taught the networks, for the page to say; empty where none did.
        stored: reads the defects of an image of a result by its path; None where the demo has no result.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = limit = upload_limit(predictor)
    app.config["TRUSTED_HOSTS"] = TRUSTED_HOSTS
    lock = threading.Lock()  # an engine cannot run in two threads at the same time

    _refuse_other_pages(app)
    _answer_errors(app, limit)

    @app.get("/")
    def page() -> str:
        return render_template_string(
            files("severstal.demo").joinpath("templates/demo.html").read_text(encoding="utf-8"),
            predictor=predictor,
            examples=[path.name for path in examples],
            colours=COLOURS,
            synthetic_origin=synthetic_origin,
            max_upload=limit,
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
        return jsonify(as_json(stored(request.args.get("path", ""))))

    @app.get("/examples/<int:number>")
    def example(number: int) -> Response:
        if number >= len(examples):
            abort(404)
        return Response(examples[number].read_bytes(), mimetype="application/octet-stream")

    return app


def _refuse_other_pages(app: Flask) -> None:
    @app.before_request
    def check_origin() -> None:
        if request.headers.get("Origin", own := request.host_url.rstrip("/")) != own:
            abort(403, "The request comes from a page of another website")

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response


def _answer_errors(app: Flask, limit: int) -> None:
    @app.errorhandler(InputError)
    def bad_input(error: InputError) -> tuple[Response, int]:
        return jsonify(error=str(error)), 400

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> tuple[Response, int]:
        too_large = f"The file is larger than {limit // 2**20} MB, which no strip of this size needs"
        return jsonify(error=too_large if error.code == 413 else error.description), error.code or 500


def upload_limit(predictor: Predictor) -> int:
    """Bytes that an upload may have."""
    return max(MIN_UPLOAD_LIMIT, MAX_BYTES_PER_PIXEL * predictor.height * predictor.width)


def as_json(prediction: MeasuredDefects) -> dict[str, Any]:
    """The answer to the page: the strip as it was read (browsers show no TIFF), its size, the time, and for each class
    that occurs its measurements and outline."""
    height, width = prediction.strip.shape
    picture = encode_jpeg(cv2.cvtColor(prediction.strip, cv2.COLOR_GRAY2RGB))
    return {
        "picture": f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}",
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
