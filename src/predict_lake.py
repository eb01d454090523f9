"""Predict all images of a folder, of object storage or of a list, on one machine or on a Ray cluster.

Reads the images below SOURCE, every folds/<encoder>/<fold>/model.onnx and engine, and folds/postprocess.json; writes
Parquet files, a row per image and defect class, and _SUMMARY.json to --output. A stopped run goes on where it was when
the same command is given again; images that are new in SOURCE are added.

    bash bin/predict_lake.sh /mill/2026 --output /mill/defects
    bash bin/predict_lake.sh s3://mill --output s3://found --address ray://HOST:10001 --engine openvino
"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from severstal.console import Stage, parser, paths_of
from severstal.engines import catalog
from severstal.errors import InputError, run_stage
from severstal.experiment import synthetic_origin
from severstal.inference.cluster_packages import check_cluster_packages


def main() -> None:
    options = parse()
    check_cluster_packages()
    from severstal.inference.lake.cluster import Resources
    from severstal.inference.lake.run import LakeRun

    for name in ("shard_size", "workers", "cpus_per_worker"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')} takes a number from 1, not {value}")
    paths = paths_of(options)
    stage = Stage("predict lake", paths, is_synthetic=False)
    cpus = options.cpus_per_worker or (4 if options.gpus_per_worker else 1)
    resources = Resources(cpus, options.gpus_per_worker, options.workers)
    run = LakeRun.of(paths, options.source, options.output, options.engine, options.address, resources)
    stage.read(str(run.source), f"{len(run.members)} networks, engine {run.engine}, version {run.version}")
    stage.say_origin(synthetic_origin(run.members))
    with run.output.lock():
        shards = run.plan(options.shard_size)
        if shards or not run.output.summary.exists():
            run.predict(shards)
            stage.wrote(str(run.output.folder))
        else:
            stage.cached(str(run.output.folder))
    for line in lines_of(run.summary()):
        stage.say(line)
    stage.done(keep_time=False)


def lines_of(summary: dict[str, Any]) -> list[str]:
    """The summary of a result in words."""
    images = summary["images"]
    lines = [
        f"class {defect}: on {count:,} of {images:,} images ({count / images:.1%})"
        for defect, count in summary["with_class"].items()
    ]
    lines.append(
        f"{summary['corrupt']:,} corrupt; {summary['other_size']:,} of another size than the networks', run in PyTorch"
    )
    return [*lines, f"{summary['images_per_second']:.2f} images per second in the last run"]


def parse() -> Namespace:
    command_line = parser(__doc__)
    command_line.add_argument(
        "source", metavar="SOURCE", help="a folder or s3://, gs://, file:// prefix; or a text or Parquet file of paths"
    )
    command_line.add_argument("--output", required=True, metavar="DEST", help="a folder or prefix for the result")
    command_line.add_argument("--address", help="of a Ray cluster, such as ray://HOST:10001; default: this machine")
    command_line.add_argument(
        "--engine",
        default="auto",
        help=f"{catalog.OPTION_HELP}; with --address, name the workers' engine: auto is that of this machine",
    )
    command_line.add_argument("--gpus-per-worker", type=float, default=0, metavar="N", help="default 0")
    command_line.add_argument(
        "--cpus-per-worker", type=int, metavar="N", help="cores and threads; default 1, with a GPU 4"
    )
    command_line.add_argument("--workers", type=int, metavar="N", help="default: as many as the cluster has room for")
    command_line.add_argument(
        "--shard-size", type=int, default=1024, metavar="N", help="images per file of new shards; default 1024"
    )
    return command_line.parse_args()


if __name__ == "__main__":
    run_stage(main)
