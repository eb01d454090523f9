"""Train networks: all of the recipe, one encoder, or one encoder on one fold; finished ones are skipped.

Reads input/, folds/recipe.json and folds/folds.csv; writes folds/<encoder>/<fold>/: config.json, log.jsonl,
tensorboard/, weights.safetensors and oof.npz, the probabilities of the fold's own validation strips.

    bash bin/train.sh                    everything that is not finished
    bash bin/train.sh resnet34 3         one network; an interrupted one goes on from its last epoch
    bash bin/train.sh --jobs 1           one at a time, with all cores
    bash bin/train.sh --backend dask --address tcp://10.0.0.1:8786     on the workers of a cluster
    torchrun --nproc-per-node 4 src/train.py resnet34 3      one network on four GPUs
"""

from __future__ import annotations

import os

from severstal import recipe
from severstal.console import Stage, add_recipe_values, parser, paths_of, recipe_values
from severstal.data import split
from severstal.data.training_set import read_training_set
from severstal.errors import InputError, run_stage
from severstal.experiment import all_members, select
from severstal.training.job import Job
from severstal.training.launcher import BACKENDS, Launcher, default_concurrency


def main() -> None:
    made = parser(__doc__)
    made.add_argument("encoder", nargs="?", help="train only this encoder")
    made.add_argument("fold", nargs="?", type=int, help="train only this fold")
    made.add_argument("--jobs", type=int, help="networks trained at once; default: one per GPU, without one per core")
    made.add_argument(
        "--backend", choices=BACKENDS, default="local", help="where: this machine (default), or a cluster"
    )
    made.add_argument("--address", help="of the cluster's scheduler, such as tcp://10.0.0.1:8786")
    add_recipe_values(made, without=frozenset({"num_folds", "encoders", "seed"}))
    options = made.parse_args()
    paths = paths_of(options)
    stage = Stage("train", paths)
    chosen = recipe.read(paths.recipe)
    selected = select(all_members(paths, chosen), chosen, options.encoder, options.fold)
    data = read_training_set(paths)
    split.check_count(data.split, paths.folds_csv, chosen.num_folds)
    stage.read(paths.train_csv, paths.folds_csv, paths.recipe)
    given = recipe_values(options)
    jobs = [Job.of(member, data, chosen, given) for member in selected]
    if "WORLD_SIZE" in os.environ and len(jobs) > 1:
        raise InputError("torchrun trains one network: name its encoder and fold, as in `... resnet34 3`")
    left = [job for job in jobs if not job.is_finished()]
    for job in jobs:
        if job not in left:
            stage.cached(job.member.name)
    launcher = Launcher(options.backend, options.address, default_concurrency(options.jobs, len(left)))
    launcher.run(left, stage.say)
    for job in left:
        stage.wrote(job.member.files.weights, job.member.files.oof)
    stage.done()


if __name__ == "__main__":
    run_stage(main)
