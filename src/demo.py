"""Serve a web page on this machine that shows the defects of a strip you drop on it.

Reads a trained run's folds/, up to six strips of input/test_images/ as examples, and the result of --result; writes
nothing. Networks that do not fit into --max-seconds per strip are left out, and the page says so; --all keeps them.

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
from severstal.demo.app import EXAMPLES, application, upload_limit
from severstal.engines import catalog
from severstal.errors import InputError, first_line, run_stage
from severstal.inference.cluster_packages import check_cluster_packages
from severstal.inference.predictor import Predictor

HOST = "127.0.0.1"
CONNECTIONS = 400  # at a time; an idle one is closed after IDLE_SECONDS, so slow clients cannot keep all of them
IDLE_SECONDS = 20
MAX_SECONDS = 0.85  # of the networks per strip, so that the page answers within a second


def main() -> None:
    options = parse()
    paths = paths_of(options)
    stage = Stage("demo", paths, is_synthetic=False)
    predictor = Predictor(paths.folds, options.engine)
    stage.read(f"{len(predictor.members)} networks, engine {predictor.engine}")
    stage.say_origin(predictor.synthetic_origin)
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
    server = listen(app, options.port, upload_limit(predictor))
    stage.say(f"open http://{HOST}:{server.effective_port}/ in a browser; Ctrl-C stops the server")
    server.run()


def listen(app: object, port: int, max_upload: int) -> BaseWSGIServer:
    """A server on a port of this machine. Slow uploads wait on the disk; those that stop or grow too large are ended.

    Args:
        max_upload: bytes of the largest file that the application takes.

    Raises:
        InputError: if the port is in use, not permitted or no port number.
    """
    try:
        return waitress.create_server(
            app,
            host=HOST,
            port=port,
            threads=4,
            max_request_body_size=2 * max_upload,  # up to here the application answers with its own message
            connection_limit=CONNECTIONS,
            asyncore_use_poll=True,  # select() takes no file descriptor above 1,024
            channel_timeout=IDLE_SECONDS,
            cleanup_interval=IDLE_SECONDS // 2,
        )
    except (OSError, ValueError) as error:
        raise InputError(f"port {port} cannot be opened ({first_line(error)}): choose another with --port") from None


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
