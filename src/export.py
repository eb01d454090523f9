"""Export networks: PyTorch -> ONNX -> onnx-simplifier -> the engine of this machine, each checked on real strips.

Reads folds/<encoder>/<fold>/weights.safetensors and config.json, folds/postprocess.json, and some of the fold's
validation strips; writes model.onnx, the engine's own file where it has one, and model.<engine>.json beside them.

    bash bin/export.sh                   every network of the recipe
    bash bin/export.sh resnet34 3        one network
"""

from __future__ import annotations

from contextlib import nullcontext

from severstal import recipe
from severstal.console import Stage, parser, paths_of
from severstal.data.training_set import read_training_set
from severstal.engines import catalog, member_export
from severstal.errors import run_stage
from severstal.experiment import experiment_lock, select_members
from severstal.postprocess import tuned_values


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("encoder", nargs="?", help="export only this encoder")
    arguments.add_argument("fold", nargs="?", type=int, help="export only this fold")
    arguments.add_argument("--engine", default="auto", help=catalog.OPTION_HELP)
    options = arguments.parse_args()
    paths = paths_of(options)
    stage = Stage("export", paths)
    chosen = recipe.read(paths)
    selected = select_members(paths, chosen, options.encoder, options.fold)
    engine = catalog.choose(options.engine)
    stage.say(f"engine {engine}")
    rules = tuned_values.read(paths).rules
    data = read_training_set(paths)
    left = [member for member in selected if not stage.is_cached(member_export.artifact(member, engine))]
    with experiment_lock(paths, left) if left else nullcontext():
        for member in left:
            member_export.export_member(member, catalog.engine_class(engine), data, rules)
            stage.wrote(member.files.onnx, member.files.sidecar(engine))
    stage.done()


if __name__ == "__main__":
    run_stage(main)
