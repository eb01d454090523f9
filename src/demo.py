"""Serve a web page on this machine that shows the defects of a strip you drop on it.

Reads a trained run's folds/; writes nothing. Networks that do not fit into --max-seconds per strip are left out, and
the page says so; --all keeps them.

    bash bin/demo.sh
    bash bin/demo.sh --engine openvino-int8 --port 8080
    bash bin/demo.sh --result s3://mill/defects
"""

from __future__ import annotations

from argparse import Namespace

import waitress
from waitress.server import BaseWSGIServer

from severstal.console import Stage, parser, paths_of
from severstal.data import strips
from severstal.demo.app import EXAMPLES, application
from severstal.engines import catalog
from severstal.errors import InputError, run_stage
from severstal.inference.cluster_packages import check_cluster_packages
from severstal.inference.predictor import Predictor

HOST = "127.0.0.1"
MAX_SECONDS = 0.85  # of the networks per strip, so that the page answers within a second


def main() -> None:
    options = parse()
    paths = paths_of(options)
    stage = Stage("demo", paths)
    predictor = Predictor(paths.folds, options.engine)
    stage.read(f"{len(predictor.members)} networks, engine {predictor.engine}")
    times = predictor.measure()
    stage.say(f"a strip takes {sum(member.seconds for member in times):.2f} s with all {len(times)} networks")
    if not options.all:
        predictor.fit_to_budget(times, options.max_seconds)
    if predictor.left_out:
        seconds = sum(member.seconds for member in times if member.name in predictor.members)
        stage.say(f"it takes {seconds:.2f} s with {', '.join(predictor.members)} alone; --all keeps the others")
    examples = strips.listing(paths.test_images)[:EXAMPLES] if paths.test_images.is_dir() else []
    stored = None
    if options.result:
        check_cluster_packages()
        from severstal.inference.lake.result import Result

        stored = Result.at(options.result).defects
        stage.read(options.result)
    app = application(predictor, [paths.test_images / name for name in examples], predictor.synthetic_origin, stored)
    server = listen(app, options.port)
    stage.say(f"open http://{HOST}:{server.effective_port}/ in a browser; Ctrl-C stops the server")
    server.run()


def listen(app: object, port: int) -> BaseWSGIServer:
    """A server on a port of this machine.

    Raises:
        InputError: if the port is in use or not permitted.
    """
    try:
        return waitress.create_server(app, host=HOST, port=port, threads=4)
    except OSError as error:
        raise InputError(f"port {port} cannot be opened ({error.strerror}): choose another with --port") from None


def parse() -> Namespace:
    command_line = parser(__doc__)
    command_line.add_argument("--port", type=int, default=8600, help="default: 8600; 0 is any free port")
    command_line.add_argument("--engine", default="auto", help=catalog.OPTION_HELP)
    command_line.add_argument(
        "--max-seconds",
        type=float,
        default=MAX_SECONDS,
        metavar="SECONDS",
        help=f"leave out networks so that a strip takes no longer; default: {MAX_SECONDS}",
    )
    command_line.add_argument(
        "--result", metavar="DEST", help="a result of bin/predict_lake.sh, whose images the page opens by their path"
    )
    command_line.add_argument("--all", action="store_true", help="run every network, however long a strip takes")
    return command_line.parse_args()


if __name__ == "__main__":
    run_stage(main)
