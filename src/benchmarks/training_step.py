"""Time a training step on one core against the plain one: crops per second of a recipe's network.

The plain step enlarges the logits to the size of the crop before the loss, and leaves depthwise convolutions to
PyTorch. All take turns, step by step, on the same crops; the medians are compared. Nothing is read but the recipe, and
nothing is written.

    .venv/bin/python -m benchmarks.training_step --recipe cpu-quick
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.timing import interleaved_medians
from severstal import recipe
from severstal.console import Stage
from severstal.errors import run_stage
from severstal.experiment import FoldConfig, current_versions
from severstal.hardware import processor
from severstal.models.unet import build_unet, move_to, split_output
from severstal.paths import Paths
from severstal.recipe import RANDOM_WEIGHTS, Recipe
from severstal.training.amp import cpu_has_bfloat16
from severstal.training.crops import unpack_masks
from severstal.training.distributed import init_distributed
from severstal.training.learner import MAX_GRADIENT_NORM, Learner
from severstal.training.losses import SegmentationLoss

DEFECT_SHARE = 0.03  # of the pixels


def main() -> None:
    options = parse_options()
    stage = Stage("benchmark of the training step", Paths())
    torch.set_num_threads(1)
    chosen = recipe.named(options.recipe, {"encoder_weights": RANDOM_WEIGHTS})
    modes = ("off", "bf16") if cpu_has_bfloat16() else ("off",)
    for encoder in chosen.encoders:
        values = chosen.for_encoder(encoder)
        steps: dict[str, Callable[[], object]] = {f"plain, {mode}": plain_step(values, encoder, mode) for mode in modes}
        steps |= {f"ours, {mode}": our_step(values, encoder, mode) for mode in modes}
        seconds = interleaved_medians(steps, options.rounds)
        size = f"{values.batch_size} crops of {values.crop_height}x{values.crop_width}"
        stage.say(f"{processor()}, one core, {encoder}: {size}, median of {options.rounds} steps in turn")
        reference = seconds["plain, off"]
        for name, taken in seconds.items():
            rate = values.batch_size / taken
            stage.say(f"{name:<12} {taken:.3f} s, {rate:.1f} crops/s, {reference / taken:.2f} x plain, off")
    stage.done(keep_time=False)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="cpu-quick", metavar="NAME|FILE", help="default cpu-quick")
    parser.add_argument("--rounds", type=int, default=12, metavar="N", help="steps of each; default 12")
    return parser.parse_args()


def batch(chosen: Recipe) -> tuple[torch.Tensor, torch.Tensor]:
    """Crops ``uint8 [n, 1, h, w]`` and bit maps ``uint8 [n, h, w]``, random."""
    generator = torch.Generator().manual_seed(0)
    shape = (chosen.batch_size, chosen.crop_height, chosen.crop_width)
    crops = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    return crops[:, None], (torch.rand(shape, generator=generator) < DEFECT_SHARE).to(torch.uint8)


def plain_step(chosen: Recipe, encoder: str, mode: str) -> Callable[[], None]:
    """Forward, loss in full size, backward, clipping and AdamW; ``mode`` is ``off`` or ``bf16``."""
    network = move_to(build_unet(chosen, encoder), torch.device("cpu")).train()
    optimizer, loss = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True), SegmentationLoss(chosen)
    crops, bit_maps = batch(chosen)

    def step() -> None:
        x = (crops.float() / 255).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16) if mode == "bf16" else nullcontext():
            logits = full_size_logits(network, x)
        loss(logits.float(), unpack_masks(bit_maps).float(), 1).backward()
        nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def full_size_logits(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Logits ``[N, 4, H, W]`` of ``x``, ``[N, 1, H, W]``, also of a network that is trained at a smaller size."""
    logits = split_output(network(x))[0]
    if logits.shape[2:] == x.shape[2:]:
        return logits
    return F.interpolate(logits, size=x.shape[2:], mode="bilinear", align_corners=False)


def our_step(chosen: Recipe, encoder: str, mode: str) -> Callable[[], None]:
    """The step of a training, with the averaged weights."""
    config = FoldConfig(
        encoder=encoder, fold=0, recipe=chosen.model_copy(update={"amp": mode}), data="", synthetic=True,
        height=chosen.crop_height, width=chosen.crop_width, mean=0.5, std=0.25, versions=current_versions(),
        initial_weights=None,
    )  # fmt: skip
    learner = Learner(config, init_distributed(), resumes=False)
    learner.train()
    crops, bit_maps = batch(chosen)

    def step() -> None:
        learner.backward(crops, bit_maps, 1, completes_step=True)
        learner.step(0, 1e-4)

    return step


if __name__ == "__main__":
    run_stage(main)
