"""Serve a page on this machine alone where one drops a strip and sees its defects.

Reads a trained run's folds/; writes nothing. Networks that do not fit into --limit seconds per strip are left out,
and the page says so; --all keeps them.

    bash bin/demo.sh
    bash bin/demo.sh --engine openvino-int8 --port 8080
"""

from __future__ import annotations

import waitress

from severstal.console import Stage, parser, paths_of
from severstal.data import strips
from severstal.demo.app import EXAMPLES, application
from severstal.engines import catalog
from severstal.errors import InputError, run_stage
from severstal.inference.inspection import DEFAULT_LIMIT, Inspector

HOST = "127.0.0.1"


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--port", type=int, default=8600, help="default 8600")
    made.add_argument("--engine", default="auto", help=catalog.OPTION_HELP)
    made.add_argument("--limit", type=float, default=DEFAULT_LIMIT, metavar="SECONDS", help="of networks per strip")
    made.add_argument("--all", action="store_true", help="run every network, however long it takes")
    options = made.parse_args()
    paths = paths_of(options)
    stage = Stage("demo", paths)
    inspector = Inspector(paths, options.engine)
    stage.read(f"{len(inspector.all)} networks, engine {inspector.engine}")
    whole = sum(inspector.seconds)
    if not options.all:
        inspector.fit_to_budget(options.limit)
    stage.say(f"a strip takes {sum(inspector.seconds):.2f} s with {', '.join(inspector.names)}")
    if len(inspector.names) < len(inspector.all):
        stage.say(
            f"all {len(inspector.all)} networks would take {whole:.2f} s: the others are left out; --all keeps them"
        )
    examples = strips.listing(paths.test_images)[:EXAMPLES] if paths.test_images.is_dir() else []
    app = application(inspector, [paths.test_images / name for name in examples], paths.is_synthetic)
    try:
        server = waitress.create_server(app, host=HOST, port=options.port, threads=4)
    except OSError as error:
        raise InputError(f"port {options.port} cannot be had ({error.strerror}): choose another with --port") from None
    stage.say(f"open http://{HOST}:{server.effective_port}/ in a browser; Ctrl-C ends it")
    server.run()


if __name__ == "__main__":
    run_stage(main)
