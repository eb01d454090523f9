"""Training steps of one encoder of recipe ``kaggle`` in each precision: samples/s, peak memory, time spent waiting."""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.stages import experiment, run
from severstal import recipe
from severstal.data.training_set import read_training_set
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.models.tf32 import without_tf32
from severstal.training.distributed import init_distributed
from severstal.training.divergence import nonfinite_names
from severstal.training.job import Job
from severstal.training.learner import Learner
from severstal.training.load_timer import LoadTimer
from severstal.training.loaders import build_loaders
from severstal.training.trainer import choose_algorithms

AMP = {"float32": "off", "TF32": "off", "float16": "fp16", "bfloat16": "bf16"}
WARM_UP = 10  # steps that are not timed: cuDNN measures its algorithms in the first


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("encoder")
    for name in ("steps", "batch", "crop_width"):
        parser.add_argument(name, type=int)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    is_gpu = torch.cuda.is_available()
    precisions = ("float16",) if options.compile else tuple(AMP) if is_gpu else ("float32", "bfloat16")
    rows: dict[str, Any] = {}
    for precision in precisions:
        try:
            rows[precision] = measure(options, precision)
        except (RuntimeError, InputError) as error:
            rows[precision] = {"failure": str(error).splitlines()[0]}
        torch.cuda.empty_cache()
        # One line for each precision: what was measured is kept if the step runs out of time.
        summary = "; ".join(map(_text, rows.items()))
        print(json.dumps({"encoder": options.encoder, "rows": rows, "summary": summary}), flush=True)
    sys.exit(any("failure" in row or not row["finite"] for row in rows.values()))


def measure(options: argparse.Namespace, precision: str) -> dict[str, Any]:
    """Samples per second, peak memory in GiB, share of the time spent waiting for samples, whether all is finite."""
    warm_up = min(WARM_UP, options.steps)
    paths = experiment(options.work / "speed")
    if not paths.folds_csv.exists():
        run("make_folds", paths, "--recipe", "kaggle", "--encoder-weights", "none", "--num-folds", 2)
    given = {
        "encoder_weights": "none",
        "amp": AMP[precision],
        "batch_size": options.batch,
        "crop_width": options.crop_width,
        "crop_height": options.crop_width,
        "samples_per_epoch": options.batch * (options.steps + warm_up),
        "torch_compile": options.compile,
    }
    member = Member(paths, options.encoder, 0)
    job = Job.of(member, read_training_set(paths), recipe.read(paths.recipe), given)
    distributed = init_distributed()
    choose_algorithms(distributed.device)
    is_gpu = distributed.device.type == "cuda"
    if is_gpu:
        torch.cuda.reset_peak_memory_stats()
    with without_tf32() if precision == "float32" else nullcontext():
        learner = Learner(job.new_config(), distributed, resumes=False)
        learner.train()
        batches = iter(build_loaders(member, job.data, job.recipe, distributed).training)
        for step, batch in enumerate(islice(batches, warm_up)):
            train_step(learner, batch, step)
        load_timer, losses = LoadTimer(), []
        began = _now(is_gpu)
        for step, batch in enumerate(load_timer(islice(batches, options.steps)), warm_up):
            losses.append(train_step(learner, batch, step))
        seconds = _now(is_gpu) - began
    finite = bool(torch.isfinite(torch.stack(losses)).all()) and not nonfinite_names(learner.state_dict()["network"])
    return {
        "samples_per_second": round(options.steps * options.batch / seconds, 1),
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if is_gpu else None,
        "waiting": round(load_timer.seconds / seconds, 3),
        "finite": finite,
    }


def train_step(learner: Learner, batch: tuple[torch.Tensor, torch.Tensor], step: int) -> torch.Tensor:
    """One step; returns its loss."""
    loss = learner.backward(*batch, 1, completes_step=True)
    learner.step(step, 1e-4)
    return loss


def _now(is_gpu: bool) -> float:
    if is_gpu:
        torch.cuda.synchronize()
    return time.perf_counter()


def _text(item: tuple[str, dict[str, Any]]) -> str:
    precision, row = item
    if "failure" in row:
        return f"{precision} failed: {row['failure']}"
    memory = f", {row['peak_gib']} GiB" if row["peak_gib"] is not None else ""
    finite = "" if row["finite"] else ", NOT FINITE"
    return f"{precision} {row['samples_per_second']} samples/s{memory}, waiting {row['waiting']:.1%}{finite}"


if __name__ == "__main__":
    main()
