"""Training of one encoder on one fold, resumable after any whole epoch.

Writes into the fold's folder: ``config.json``, ``log.jsonl`` and ``tensorboard/`` as it goes, ``checkpoint.pt``
after every epoch, and at the end ``weights.safetensors``: the moving average of the weights as of the best epoch or,
where that scores better, the mean of those of the best epochs.

An epoch's randomness is seeded by its number and every sample by its position, so a run that was interrupted
ends with the weights of one that was not, bit for bit on a CPU.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from severstal.artifacts import write_text
from severstal.console import duration
from severstal.data.labels import CLASSES
from severstal.data.memory_map import Strips
from severstal.data.training_set import TrainingSet
from severstal.errors import InputError
from severstal.experiment import FoldConfig, Member
from severstal.models import weights
from severstal.models.inference_graph import InferenceGraph, Normalise
from severstal.models.libraries import timm
from severstal.models.unet import build_unet, split_output
from severstal.training import checkpoint
from severstal.training.amp import Precision
from severstal.training.averaging import BestEpochs
from severstal.training.distributed import Distributed
from severstal.training.load_timer import LoadTimer, describe_loading
from severstal.training.losses import Loss
from severstal.training.pseudo_sampling import PseudoLabelSampler
from severstal.training.sampling import ClassSampler, Crops, WholeStrips, planes
from severstal.training.validation import FoldScores, default_workers, scores_of_fold

GRADIENT_NORM = 5.0  # steps of a rare huge gradient are shortened to it


class Training:
    """One (encoder, fold), from its first or its last finished epoch to its weights."""

    def __init__(
        self, member: Member, config: FoldConfig, data: TrainingSet, world: Distributed, *, bars: bool
    ) -> None:
        self._bars = bars and world.is_main
        self.member, self.config, self.recipe = member, config, config.recipe
        self.data, self.world, self.device = data, world, world.device
        torch.manual_seed(self.recipe.seed)
        torch.use_deterministic_algorithms(True, warn_only=True)
        self._build()
        self._load_data()
        self.log: list[dict[str, Any]] = []
        self.best = BestEpochs(self.recipe.average_top_k)
        self._restore()

    def _build(self) -> None:
        pretrained = self.recipe.encoder_weights == "imagenet" and not self.member.files.checkpoint.exists()
        plain = build_unet(self.recipe, self.member.encoder, pretrained=pretrained)
        plain = plain.to(self.device, memory_format=torch.channels_last)
        self.ema = timm.utils.ModelEmaV3(plain, decay=self.recipe.ema_decay, use_warmup=True)
        optimizer = torch.optim.AdamW(
            plain.parameters(),
            lr=self.recipe.learning_rate,
            weight_decay=self.recipe.weight_decay,
            # One pass over the weights instead of eight: half the time of a step. apex patches the plain one.
            fused=self.recipe.amp != "apex",
        )
        self.precision = Precision(self.recipe.amp, plain, optimizer, self.device)
        self.plain = self.precision.network
        self.wrapped = self.world.wrap(self.plain)
        self.normalise = Normalise(self.config.mean, self.config.std)
        self.loss = Loss(self.recipe, self.world.total)

    def _load_data(self) -> None:
        recipe, world = self.recipe, self.world
        training = self.data.images(self.member.fold, held_out=False)
        source = Strips(self.data)
        validation = WholeStrips(source, self.data.images(self.member.fold, held_out=True))
        if (recipe.batch_size % world.size) or not training or not len(validation):
            raise InputError(
                f"{self.member.name}: {len(training)} strips to train on, {len(validation)} to validate on, batches "
                f"of {recipe.batch_size} over {world.size} processes: choose a --batch-size that divides evenly"
            )
        shares = ClassSampler if self.data.pseudo is None else PseudoLabelSampler
        self.sampler = shares(self.data, training, recipe, world.rank, world.size)
        workers = recipe.num_workers if recipe.num_workers >= 0 else default_workers(world.size)
        share = {
            "num_workers": workers,
            "persistent_workers": workers > 0,
            "pin_memory": self.device.type == "cuda",
        }
        self.train_loader = DataLoader(
            Crops(source, recipe),
            batch_size=recipe.batch_size // world.size,
            sampler=self.sampler,
            **share,
        )
        own = Subset(validation, range(world.rank, len(validation), world.size))
        self.validation_loader = DataLoader(own, batch_size=recipe.eval_batch_size, **share)

    # -- epochs ------------------------------------------------------------------------------------

    def run(self) -> None:
        """Train what is left of the epochs, then write the weights."""
        files = self.member.files
        writer = SummaryWriter(files.tensorboard, purge_step=len(self.log) + 1) if self.world.is_main else None
        if self.world.is_main:
            print(f"   {self.member.name}: precision {self.precision.route} on {self.device}", flush=True)
        for epoch in range(len(self.log) + 1, self.recipe.epochs + 1):
            entry = self._epoch(epoch)
            self.best.add(entry["dice"], epoch, self._state)
            self.log.append(entry)
            if self.world.is_main:
                self._save(writer, entry)
        epochs, state = self._final()
        if self.world.is_main:
            weights.save(files.weights, state, {"fingerprint": self.config.fingerprint, "epoch": epochs})
            writer.close()
        self.world.wait()

    def _state(self) -> dict[str, torch.Tensor]:
        return {name: value.cpu().clone() for name, value in self.ema.module.state_dict().items()}

    def _final(self) -> tuple[str, dict[str, torch.Tensor]]:
        """The epochs and the weights to keep: the best epoch's, or the mean over the best ones if it scores better."""
        best = self.best.best
        if len(self.best.kept) > 1:
            average = self.best.average()
            self.ema.module.load_state_dict(average)
            dice = float(self._scores().tuned.mean())
            epochs = "+".join(str(one["epoch"]) for one in sorted(self.best.kept, key=lambda one: one["epoch"]))
            if self.world.is_main:
                verdict = "kept" if dice > best["dice"] else "not kept"
                print(
                    f"   {self.member.name}: mean of epochs {epochs}: Dice {dice:.4f}, the best alone "
                    f"{best['dice']:.4f}: {verdict}",
                    flush=True,
                )
            if dice > best["dice"]:
                return epochs, average
        return str(best["epoch"]), best["state"]

    def _scores(self) -> FoldScores:
        with self.precision.autocast():
            return scores_of_fold(
                InferenceGraph.of(self.config, self.ema.module, tta=()), self.validation_loader, self.world
            )

    def _epoch(self, epoch: int) -> dict[str, Any]:
        began = time.monotonic()
        torch.manual_seed(self.recipe.seed * 100_003 + epoch)
        self.sampler.epoch = epoch
        load_timer = LoadTimer()
        loss = self._train(epoch, load_timer)
        trained = time.monotonic()
        scores = self._scores()
        return {
            "epoch": epoch,
            "loss": loss,
            "dice": float(scores.tuned.mean()),
            "dice_per_class": scores.tuned.tolist(),
            "dice_untuned": float(scores.default.mean()),
            "learning_rate": self._learning_rate(epoch * self._steps),
            "train_seconds": round(trained - began, 2),
            "loading_share": round(load_timer.seconds / (trained - began), 4),
            "validation_seconds": round(time.monotonic() - trained, 2),
        }

    def _train(self, epoch: int, load_timer: LoadTimer) -> float:
        """One pass over the epoch's samples; returns the mean loss."""
        self.wrapped.train()
        grad_accum_steps, total = self.recipe.grad_accum_steps, torch.zeros((), device=self.device)
        batches = tqdm(self.train_loader, f"epoch {epoch}", leave=False, disable=None if self._bars else True)
        for count, (crops, bits) in enumerate(load_timer(batches), start=1):
            crops = crops.to(self.device, non_blocking=True)
            masks = planes(bits.to(self.device, non_blocking=True)).float()
            complete = count % grad_accum_steps == 0
            # Gradients are only exchanged between processes with the last micro-batch of a step.
            wait = nullcontext() if complete or self.world.size == 1 else self.wrapped.no_sync()
            with wait:
                with self.precision.autocast():
                    output = self.wrapped(self.normalise(crops).contiguous(memory_format=torch.channels_last))
                loss = self._loss(output, masks, epoch)
                self.precision.backward(loss / grad_accum_steps)
            total += loss.detach()
            if complete:
                self._step((epoch - 1) * self._steps + count // grad_accum_steps - 1)
        mean = self.world.sum(total / len(self.train_loader)) / self.world.size
        return float(mean)

    def _loss(
        self, output: torch.Tensor | tuple[torch.Tensor, torch.Tensor], masks: torch.Tensor, epoch: int
    ) -> torch.Tensor:
        logits, class_probability = split_output(output)
        loss = self.loss(logits.float(), masks, epoch)
        if class_probability is None:
            return loss
        occurs = masks.amax(dim=(2, 3))
        return loss + self.recipe.classifier_loss_weight * F.binary_cross_entropy_with_logits(
            class_probability.float(), occurs
        )

    def _step(self, step: int) -> None:
        for group in self.precision.optimizer.param_groups:
            group["lr"] = self._learning_rate(step)
        self.precision.clip(GRADIENT_NORM)
        self.precision.step()
        self.ema.update(self.plain, step=step)

    @property
    def _steps(self) -> int:
        """Optimiser steps per epoch."""
        return len(self.train_loader) // self.recipe.grad_accum_steps

    def _learning_rate(self, step: int) -> float:
        """Linear warm-up, then half a cosine down to nothing."""
        total = self._steps * self.recipe.epochs
        warm = max(round(total * self.recipe.warmup), 1)
        if step < warm:
            return self.recipe.learning_rate * (step + 1) / warm
        return self.recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(total - warm, 1)))

    # -- state -------------------------------------------------------------------------------------

    def _save(self, writer: SummaryWriter, entry: dict[str, Any]) -> None:
        files, epoch = self.member.files, entry["epoch"]
        checkpoint.save(
            files.checkpoint,
            {
                "fingerprint": self.config.fingerprint,
                "network": self.plain.state_dict(),
                "ema": self.ema.module.state_dict(),
                "optimizer": self.precision.optimizer.state_dict(),
                "precision": self.precision.state_dict(),
                "best": self.best.kept,
                "log": self.log,
                "threads": torch.get_num_threads(),
            },
        )
        write_text(files.log, "".join(json.dumps(line) + "\n" for line in self.log))
        for name in ("loss", "dice", "dice_untuned", "learning_rate"):
            writer.add_scalar(name, entry[name], epoch)
        for defect, score in zip(CLASSES, entry["dice_per_class"], strict=True):
            writer.add_scalar(f"dice_class_{defect}", score, epoch)
        self._print(entry)

    def _restore(self) -> None:
        files = self.member.files
        if not files.checkpoint.exists():
            return
        state = checkpoint.load(files.checkpoint, files.folder, self.member.remake)
        if state["fingerprint"] != self.config.fingerprint:
            raise InputError(
                f"{files.checkpoint} belongs to another configuration: delete {files.folder} and run "
                f"`{self.member.remake}`"
            )
        self.plain.load_state_dict(state["network"])
        self.ema.module.load_state_dict(state["ema"])
        self.precision.optimizer.load_state_dict(state["optimizer"])
        self.precision.load_state_dict(state["precision"])
        self.best.kept, self.log = state["best"], state["log"]
        torch.set_num_threads(state["threads"])  # sums in another order give other weights
        if self.world.is_main:
            print(f"   {self.member.name}: goes on after epoch {len(self.log)}", flush=True)

    def _print(self, entry: dict[str, Any]) -> None:
        seconds = np.mean([line["train_seconds"] + line["validation_seconds"] for line in self.log])
        left = seconds * (self.recipe.epochs - entry["epoch"])
        classes = " ".join(f"{score:.3f}" for score in entry["dice_per_class"])
        leader = self.best.best
        best = "best" if leader["epoch"] == entry["epoch"] else f"best {leader['dice']:.4f}"
        print(
            f"   {self.member.name}  epoch {entry['epoch']}/{self.recipe.epochs}  loss {entry['loss']:.4f}  "
            f"Dice {entry['dice']:.4f} ({classes})  {best}  {seconds:.0f} s/epoch, "
            f"{describe_loading(entry['loading_share'], self.train_loader.num_workers)}, {duration(left)} left",
            flush=True,
        )
