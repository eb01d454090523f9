"""Train networks: all of the recipe, one encoder, or one encoder on one fold; finished ones are skipped.

Reads input/, folds/recipe.json and folds/folds.csv; writes folds/<encoder>/<fold>/: config.json, log.jsonl,
tensorboard/, weights.safetensors and oof.npz, the probabilities of the fold's own validation strips.

    bash bin/train.sh                    everything that is not finished
    bash bin/train.sh resnet34 3         one network; an interrupted one goes on from its last epoch
    torchrun --nproc-per-node 4 src/train.py resnet34 3      one network on four GPUs
"""

from __future__ import annotations

import os

from joblib import Parallel, delayed

from severstal import folds, recipe
from severstal.command_line import add_recipe_values, parser, paths_of, recipe_values
from severstal.data import read_training_set
from severstal.errors import InputError, run_stage
from severstal.gpu import gpu_count
from severstal.job import Job
from severstal.member import members, select
from severstal.stage import Stage


def main() -> None:
    made = parser(__doc__)
    made.add_argument("encoder", nargs="?", help="train only this encoder")
    made.add_argument("fold", nargs="?", type=int, help="train only this fold")
    add_recipe_values(made, without=frozenset({"folds", "encoders", "seed"}))
    options = made.parse_args()
    paths = paths_of(options)
    stage = Stage("train", paths)
    chosen = recipe.read(paths.recipe)
    selected = select(members(paths, chosen), chosen, options.encoder, options.fold)
    data = read_training_set(paths)
    folds.check_count(data.split, paths.folds_csv, chosen.folds)
    stage.read(paths.train_csv, paths.folds_csv, paths.recipe)
    given = recipe_values(options)
    jobs = [Job.of(member, data, chosen, given) for member in selected]
    if "WORLD_SIZE" in os.environ and len(jobs) > 1:
        raise InputError("torchrun trains one network: name its encoder and fold, as in `... resnet34 3`")
    left = [job for job in jobs if not job.is_finished()]
    for job in jobs:
        if job not in left:
            stage.up_to_date(job.member.name)
    gpus = max(gpu_count(), 1)  # networks go to them one each
    for line in Parallel(n_jobs=min(gpus, len(left) or 1))(delayed(run)(job, i % gpus) for i, job in enumerate(left)):
        stage.say(line)
    for job in left:
        stage.wrote(job.member.files.weights, job.member.files.oof)
    stage.done()


def run(job: Job, gpu: int) -> str:
    if gpu_count() > 1 and "WORLD_SIZE" not in os.environ:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(gpu)
    return job.run()


if __name__ == "__main__":
    run_stage(main)
