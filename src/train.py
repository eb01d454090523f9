"""Train networks: all of the recipe, one encoder, or one encoder on one fold; finished ones are skipped.

Reads input/, folds/recipe.json and folds/folds.csv; writes folds/<encoder>/<fold>/: config.json, log.jsonl,
tensorboard/, weights.safetensors and oof.npz, the probabilities of the fold's own validation strips.

    bash bin/train.sh                    everything that is not finished
    bash bin/train.sh resnet34 3         one network; an interrupted one goes on from its last epoch
    bash bin/train.sh --jobs 1           one at a time, with all cores
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

MEMORY_OF_A_JOB = 4 << 30  # bytes; a big encoder at the full height of a strip takes about as much


def main() -> None:
    made = parser(__doc__)
    made.add_argument("encoder", nargs="?", help="train only this encoder")
    made.add_argument("fold", nargs="?", type=int, help="train only this fold")
    made.add_argument("--jobs", type=int, help="networks trained at once; default: one per GPU, without one per core")
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
    at_once = jobs_at_once(options.jobs, len(left))
    for line in Parallel(n_jobs=at_once)(delayed(run)(job, i, at_once) for i, job in enumerate(left)):
        stage.say(line)
    for job in left:
        stage.wrote(job.member.files.weights, job.member.files.oof)
    stage.done()


def jobs_at_once(asked: int | None, left: int) -> int:
    """How many of the networks that are left train at the same time.

    Without a GPU each gets an equal part of the cores: two networks on a core each learn faster than one after the
    other on both, which wait for each other several hundred times a step.
    """
    if asked is not None and asked < 1:
        raise InputError(f"--jobs {asked}: at least one network is trained at a time")
    room = gpu_count() or min(os.cpu_count() or 1, max(memory() // MEMORY_OF_A_JOB, 1))
    return max(min(asked or room, left), 1)


def memory() -> int:
    """Bytes of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def run(job: Job, number: int, at_once: int) -> str:
    if gpu_count() > 1 and "WORLD_SIZE" not in os.environ:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", str(number % gpu_count()))  # a process keeps its GPU
    return job.run(alone=at_once == 1)


if __name__ == "__main__":
    run_stage(main)
