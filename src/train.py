"""Train networks: all of the recipe, one encoder, or one encoder on one fold; finished ones are skipped.

Reads input/, folds/recipe.json and folds/folds.csv; writes folds/<encoder>/<fold>/: config.json, log.jsonl,
tensorboard/, weights.safetensors and oof.npz, the probabilities of the fold's own validation strips.

    bash bin/train.sh                    everything that is not finished
    bash bin/train.sh resnet34 3         one network; an interrupted one goes on from its last epoch
    bash bin/train.sh resnet34 --show-recipe     print every value and where it comes from, train nothing
    bash bin/train.sh --jobs 1           one at a time, with all cores
    bash bin/train.sh --backend dask --address tcp://10.0.0.1:8786     on the workers of a cluster
    torchrun --nproc-per-node 4 src/train.py resnet34 3      one network on four GPUs
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from severstal import recipe
from severstal.commands import short
from severstal.console import Stage, parser, paths_of
from severstal.data import split
from severstal.data.training_set import read_training_set
from severstal.errors import InputError, run_stage
from severstal.experiment import experiment_lock, select_members
from severstal.hardware import core_count
from severstal.paths import Paths
from severstal.processes import started_by_torchrun, torchrun_rank
from severstal.recipe_options import add_recipe_options, given_values, table
from severstal.training.changed_values import refuse_changes
from severstal.training.job import Job
from severstal.training.launcher import BACKENDS, Launcher, default_concurrency
from severstal.training.threads import threads_of_each


def main() -> None:
    stage_parser = parser(__doc__)
    stage_parser.add_argument("encoder", nargs="?", help="train only this encoder")
    stage_parser.add_argument("fold", nargs="?", type=int, help="train only this fold")
    stage_parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="networks trained at once; default: one per GPU, or per core without a GPU",
    )
    stage_parser.add_argument(
        "--backend", choices=BACKENDS, default="local", help="where: this machine (default), or a cluster"
    )
    stage_parser.add_argument("--address", help="of the cluster's scheduler, such as tcp://10.0.0.1:8786")
    add_recipe_options(stage_parser, without=recipe.EXPERIMENT)
    options = stage_parser.parse_args()
    paths = paths_of(options)
    chosen, given = recipe.read(paths), given_values(options)
    selected = select_members(paths, chosen, options.encoder, options.fold)
    if options.show_recipe:
        show_recipe(paths, options.encoder, given)
        return
    stage = Stage("train", paths)
    data = read_training_set(paths)
    split.check_count(data.split, paths.folds_csv, chosen.num_folds)
    stage.read(paths.train_csv, paths.folds_csv, paths.recipe)
    jobs = [Job.of(member, data, chosen, given) for member in selected]
    if started_by_torchrun() and len(jobs) > 1:
        raise InputError("torchrun trains one network: name its encoder and fold, as in `... resnet34 3`")
    refuse_changes(jobs)
    left = [job for job in jobs if not is_cached(stage, job)]
    pixels = data.height * data.width
    planned = default_concurrency(options.jobs, len(jobs), pixels)  # as if none of them were finished
    launcher = Launcher(
        options.backend,
        options.address,
        default_concurrency(options.jobs, len(left), pixels),
        threads_of_each(planned),
    )
    if left and options.backend == "local":
        say_idle_cores(stage, launcher, planned)
    with network_lock(paths, left):
        launcher.run(left, stage.say)
    if torchrun_rank():
        return  # the first process predicts the maps, and reports
    for job in left:
        stage.wrote(job.member.files.weights, job.member.files.oof)
    stage.done()


def say_idle_cores(stage: Stage, launcher: Launcher, planned: int) -> None:
    """Say so where fewer networks are left than the ``planned`` ones that would train at once."""
    cores, share = core_count(), launcher.num_threads
    if share and launcher.concurrency < planned:
        stage.say(
            f"{launcher.concurrency} of the {planned} networks that train at once here are left: each computes "
            f"on {share} of {cores} cores, as it would beside the others, so that interruptions change no weights; "
            f"--jobs {launcher.concurrency} uses all cores"
        )


def network_lock(paths: Paths, jobs: list[Job]) -> AbstractContextManager[None]:
    """Keep other runs from training these networks; of torchrun's processes the first one does."""
    if not jobs or torchrun_rank():
        return nullcontext()
    return experiment_lock(paths, [job.member for job in jobs])


def is_cached(stage: Stage, job: Job) -> bool:
    """Whether a network is finished; prints so, or why its maps are predicted again."""
    if not job.is_trained():
        return False
    differences = job.map_differences()
    if differences:
        stage.say(f"rebuild {short(job.member.files.oof)}: {'; '.join(differences)}")
    else:
        stage.cached(job.member.name)
    return not differences


def show_recipe(paths: Paths, encoder: str | None, given: dict[str, Any]) -> None:
    values = recipe.read_values(paths)
    if encoder is not None:
        values = values.for_encoder(encoder)
    print(*table(values.with_options(given, "train.sh")), sep="\n")


if __name__ == "__main__":
    run_stage(main)
