"""An ensemble of the size of recipe ``kaggle``'s within 16 GB: weights are random, memory and speed are real."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.gpu.stages import experiment
from severstal import recipe
from severstal.artifacts import write_json
from severstal.engines.base import BATCH_SIZE
from severstal.experiment import FoldConfig, Member
from severstal.inference.ensemble import load_ensemble
from severstal.models import weights
from severstal.models.unet import build_unet

LIMIT_GIB = 16
CALLS = 8  # after three that warm up


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("engine")
    for name in ("members", "height", "width"):
        parser.add_argument(name, type=int)
    parser.add_argument("encoders", nargs="+")
    options = parser.parse_args()
    is_gpu = torch.cuda.is_available()
    if is_gpu:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, LIMIT_GIB * 2**30 / total))
    members = write_members(options)
    ensemble = load_ensemble(members, dict.fromkeys(options.encoders, 1), options.engine)
    strips = np.random.default_rng(0).integers(0, 256, (BATCH_SIZE, options.height, options.width), dtype=np.uint8)
    for _ in range(3):
        ensemble(strips)
    began = time.monotonic()
    for _ in range(CALLS):
        ensemble(strips)
    seconds = (time.monotonic() - began) / CALLS
    gib = used_gib(is_gpu)
    facts = {"members": len(members), "gib": round(gib, 2), "strips_per_second": round(BATCH_SIZE / seconds, 2)}
    summary = f"{len(members)} networks in {gib:.1f} GiB, {BATCH_SIZE / seconds:.1f} strips/s, engine {options.engine}"
    if is_gpu:
        facts["copies"] = round(copy_seconds(strips) / seconds, 5)
        summary += f", copies to the GPU and back {facts['copies']:.2%} of the time"
    print(json.dumps(facts | {"summary": summary}))
    if gib > LIMIT_GIB:
        raise SystemExit(f"it takes more than {LIMIT_GIB} GiB")


def write_members(options: argparse.Namespace) -> list[Member]:
    """Networks of random weights with the recipe's flips; folds of one encoder share a file."""
    paths, chosen = experiment(options.work / "large"), recipe.named("kaggle", {"encoder_weights": "none"})
    members = []
    for number in range(options.members):
        member = Member(paths, options.encoders[number % len(options.encoders)], number // len(options.encoders))
        files = member.files
        files.folder.mkdir(parents=True, exist_ok=True)
        if member.fold:
            source = Member(paths, member.encoder, 0).files.weights
            files.weights.unlink(missing_ok=True)
            os.link(source, files.weights)
        else:
            weights.save(files.weights, build_unet(chosen, member.encoder).state_dict(), {})
        config = FoldConfig(
            encoder=member.encoder,
            fold=member.fold,
            recipe=chosen.for_encoder(member.encoder),
            data="none",
            synthetic=True,
            height=options.height,
            width=options.width,
            mean=0.4,
            std=0.2,
            versions={},
        )
        write_json(files.config, config.model_dump())
        members.append(member)
    return members


def copy_seconds(strips: np.ndarray) -> float:
    """Seconds in which a batch gets to the GPU and its maps come back: what an overlap with computing could gain."""
    maps = torch.zeros((len(strips), 4, *strips.shape[1:]), dtype=torch.uint8, device="cuda")
    torch.cuda.synchronize()
    began = time.monotonic()
    for _ in range(CALLS):
        torch.from_numpy(strips).pin_memory().to("cuda", non_blocking=True)
        maps.cpu()
    return (time.monotonic() - began) / CALLS


def used_gib(is_gpu: bool) -> float:
    """Memory of the GPU that is not free, CUDA's own included; without a GPU the process's peak."""
    if is_gpu:
        free, total = torch.cuda.mem_get_info()
        return (total - free) / 2**30
    (peak,) = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    return int(peak) / 2**20


if __name__ == "__main__":
    main()
