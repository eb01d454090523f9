"""One encoder's training in one mode, measured phase by phase within the time of a step of the check."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.gpu.kernel_times import kernel_times
from benchmarks.gpu.stages import experiment
from benchmarks.gpu.steps import progress, seconds_left
from benchmarks.gpu.training_modes import MODES
from severstal import recipe
from severstal.data.training_set import read_training_set
from severstal.errors import first_line
from severstal.experiment import Member
from severstal.models.weights import nonfinite_names
from severstal.training.distributed import init_distributed
from severstal.training.job import Job
from severstal.training.learner import Learner
from severstal.training.load_timer import LoadTimer
from severstal.training.loaders import build_loaders

EARLY_STEPS = 4  # after the first one: memory is still allocated, and loss scaling finds its scale
BLOCK = 5  # steps that are timed together, so that they are queued as in a training
RESERVE = 3.0  # seconds before the end of the step's time at which nothing new is begun

Batch = tuple[torch.Tensor, torch.Tensor]

# Figures in words, in the order of the table.
TEXTS = {
    "samples_per_second": "{} crops/s",
    "waiting": "waiting for crops {:.1%} of the time",
    "resident": "one batch again and again {:.1f} crops/s",
    "first_batch": "first batch after {:.1f} s",
    "first_step": "first step {:.1f} s",
    "early_steps": "steps 2 to 5 {:.3f} s each",
    "peak_gib": "{:.2f} GiB",
    "busy": "device busy {:.0%}",
}


@dataclass(frozen=True)
class Size:
    """How much is trained: ``steps`` after the first five, each on ``batch`` crops of ``side`` pixels."""

    steps: int
    batch: int
    side: int


class Trial:
    """A network under training in one mode.

    Attributes:
        row: what was measured so far, by name: seconds of the phases (``built_in``, ``first_batch``, ``first_step``;
            ``early_steps`` and ``steady_steps`` for one step each), ``samples_per_second``, ``waiting`` (share of the
            steady steps' time), ``resident`` (samples per second on one batch again and again), ``peak_gib``,
            ``finite``, ``busy`` and ``slowest`` (see :func:`kernel_times`), ``stopped`` (why not all was measured).
    """

    def __init__(self, work: Path, encoder: str, name: str, size: Size) -> None:
        """Build the network and its loader; ``name`` is one of ``MODES``."""
        self.row: dict[str, Any] = {}
        self._name, self._mode, self._size = name, MODES[name], size
        self._is_gpu = torch.cuda.is_available()
        self._losses: list[torch.Tensor] = []
        self._load_timer = LoadTimer()
        if self._is_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            self._used_before = torch.cuda.memory_allocated()
        began = time.perf_counter()
        self._learner, loader = self._build(work, encoder)
        self._batches: Iterator[Batch] = self._load_timer(loader)
        self.row["built_in"] = round(time.perf_counter() - began, 2)

    def measure(self) -> None:
        """All phases, as far as the time allows; each is reported when it is over."""
        with self._mode.settings():
            self._first_batch = next(self._batches)
            self._set("first_batch", self._load_timer.seconds)
            progress(f"{self._name}: the first step begins")
            self._set("first_step", self._run([self._first_batch])[0])
            seconds, count = self._run(islice(self._batches, EARLY_STEPS))
            self._set("early_steps", seconds / count)
            self._measure_steady_steps()
            self._batches = iter(())  # ends the loader's processes
            self._measure_resident_batch()
        states = self._learner.state_dict()["network"]
        self.row["finite"] = bool(torch.isfinite(torch.stack(self._losses)).all()) and not nonfinite_names(states)
        if self._is_gpu:
            self._set("peak_gib", (torch.cuda.max_memory_allocated() - self._used_before) / 2**30)

    def profile(self) -> None:
        """Profile one more step, if it was quick enough."""
        if seconds_left() < RESERVE + 10 * self.row.get("steady_steps", float("inf")):
            return
        with self._mode.settings():
            try:
                self.row |= kernel_times(lambda: self._train_step(self._first_batch))
            except RuntimeError as error:  # some machines allow no profiler
                self.row["profiler"] = first_line(error)
                return
        kernels = ", ".join(f"{name} {share:.0%}" for name, share in self.row["slowest"].items())
        progress(f"{self._name}: {TEXTS['busy'].format(self.row['busy'])}, slowest kernels {kernels}")

    def _build(self, work: Path, encoder: str) -> tuple[Learner, Iterable[Batch]]:
        paths, size = experiment(work / "speed"), self._size
        given = {
            "encoder_weights": "none",
            "amp": self._mode.amp,
            "batch_size": size.batch,
            "crop_width": size.side,
            "crop_height": size.side,
            "samples_per_epoch": size.batch * (1 + EARLY_STEPS + size.steps),
            "torch_compile": self._mode.compiled,
        }
        member = Member(paths, encoder, 0)
        job = Job.of(member, read_training_set(paths), recipe.read(paths), given)
        distributed = init_distributed()
        learner = Learner(job.new_config(), distributed, resumes=False)
        if not self._mode.channels_last:
            network: Any = learner.network
            network.to(memory_format=torch.contiguous_format)
            network.register_forward_pre_hook(channels_first)
        learner.train()
        return learner, build_loaders(member, job.data, job.recipe, distributed).training

    def _measure_steady_steps(self) -> None:
        total, done, wanted = 0.0, 0, self._size.steps
        self._load_timer.seconds = 0.0
        while done < wanted and seconds_left() > RESERVE:
            seconds, count = self._run(islice(self._batches, min(BLOCK, wanted - done)))
            total, done = total + seconds, done + count
            self.row["steady_steps"] = round(total / done, 5)
            self.row["samples_per_second"] = round(done * self._size.batch / total, 1)
            self.row["waiting"] = round(self._load_timer.seconds / total, 3)
        progress(f"{self._name}: {done} steady steps, {self.row.get('samples_per_second')} crops/s")
        if done < wanted:
            self.row["stopped"] = f"the time was over after {done} of {wanted} steady steps"

    def _measure_resident_batch(self) -> None:
        """The speed without any loader."""
        if seconds_left() > RESERVE + BLOCK * self.row.get("steady_steps", float("inf")):
            seconds, count = self._run(repeat(self._first_batch, BLOCK))
            self._set("resident", count * self._size.batch / seconds)

    def _run(self, batches: Iterable[Batch]) -> tuple[float, int]:
        """Seconds of a step on each of the batches, until the GPU is done, and their number: less if time is over."""
        before = len(self._losses)
        self._synchronize()
        began = time.perf_counter()
        for batch in batches:
            self._losses.append(self._train_step(batch))
            if seconds_left() < RESERVE:
                break
        self._synchronize()
        return time.perf_counter() - began, len(self._losses) - before

    def _train_step(self, batch: Batch) -> torch.Tensor:
        loss = self._learner.backward(*batch, 1, completes_step=True)
        self._learner.step(len(self._losses), 1e-4)
        return loss

    def _synchronize(self) -> None:
        if self._is_gpu:
            torch.cuda.synchronize()

    def _set(self, key: str, value: float) -> None:
        self.row[key] = round(value, 4)
        progress(f"{self._name}: {TEXTS[key].format(self.row[key])}")


def channels_first(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """A forward hook: the input with the strides of channels-first, which PyTorch tells from channels-last by them."""
    return inputs[0].reshape(-1).view(inputs[0].shape)
