"""Data loaders of a training: crops of the training strips, and the whole strips that the fold holds out."""

from __future__ import annotations

import logging
import multiprocessing
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import Subset

from severstal.data.memory_map import TrainingStrips
from severstal.data.training_set import TrainingSet
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.hardware import core_count, memory_bytes
from severstal.recipe import Recipe
from severstal.training.crops import CropDataset, StripDataset
from severstal.training.distributed import Distributed
from severstal.training.sampling import ClassSampler, PseudoLabelSampler
from severstal.training.strip_loader import StripLoader

SHARED_MEMORY = Path("/dev/shm")  # through which loader processes hand over their batches
BATCHES_PER_WORKER = 3  # two that wait (torch's prefetch_factor) and the one in use
BYTES_PER_PIXEL = 2  # grey and bit map

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaders:
    """This process's part of the data.

    Attributes:
        sampler: chooses the crops of ``training``.
        training: batches of crops ``uint8 [n, 1, h, w]`` and bit maps ``uint8 [n, h, w]``.
        validation: batches of whole strips, likewise.
    """

    sampler: ClassSampler
    training: StripLoader
    validation: StripLoader


def build_loaders(
    member: Member, data: TrainingSet, recipe: Recipe, distributed: Distributed, num_jobs: int = 1
) -> Loaders:
    """The loaders of one process.

    Args:
        num_jobs: networks that are trained side by side on this machine.

    Raises:
        InputError: if there is nothing to train or validate on, or the batch cannot be divided among the processes.
    """
    rank, world_size = distributed.rank, distributed.world_size
    training_images = data.images(member.fold, held_out=False)
    source = TrainingStrips(data)
    validation_set = StripDataset(source, data.images(member.fold, held_out=True))
    if (recipe.batch_size % world_size) or not training_images or not len(validation_set):
        raise InputError(
            f"{member.name}: {len(training_images)} strips to train on, {len(validation_set)} to validate on, batches "
            f"of {recipe.batch_size} over {world_size} processes: choose a --batch-size that divides evenly"
        )
    if distributed.device.type == "cpu":
        check_memory(member, data, recipe)
    sampler_class = ClassSampler if data.pseudo is None else PseudoLabelSampler
    sampler = sampler_class(data, training_images, recipe, rank, world_size)
    own_part = Subset(validation_set, range(rank, len(validation_set), world_size))
    pixels = recipe.batch_size // world_size * recipe.crop_height * recipe.crop_width
    pixels += recipe.eval_batch_size * data.height * data.width
    processes = distributed.local_world_size * num_jobs
    num_workers = usable_num_workers(recipe.num_workers, processes, pixels * BYTES_PER_PIXEL)
    pin = distributed.device.type == "cuda"
    return Loaders(
        sampler,
        StripLoader(
            CropDataset(source, recipe),
            batch_size=recipe.batch_size // world_size,
            sampler=sampler,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=pin,
        ),
        StripLoader(
            own_part,
            batch_size=recipe.eval_batch_size,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=pin,
        ),
    )


def check_memory(member: Member, data: TrainingSet, recipe: Recipe) -> None:
    """Refuse strips of which one batch of validation is certain not to fit into the memory.

    Counted are the input and the output of the decoder's last block, in 32 bits, as the out-of-fold maps are predicted:
    less is impossible.

    Raises:
        InputError: with the options that need less.
    """
    shrinks = (recipe.downscale * recipe.decoder_stride) ** 2
    channels = sum(recipe.decoder_channels[-2:])
    needed = recipe.eval_batch_size * data.height * data.width // shrinks * channels * 4
    if needed > memory_bytes():
        raise InputError(
            f"{member.name}: {recipe.eval_batch_size} strips of {data.height}x{data.width} at a time take more than "
            f"{needed / 1e9:.0f} GB and this process may use {memory_bytes() / 1e9:.0f} GB: choose a smaller "
            "--eval-batch-size, or a larger --downscale or --decoder-stride"
        )


def usable_num_workers(requested: int, num_processes: int, batch_bytes: int) -> int:
    """Loader processes per training process, as many as can be started and have shared memory for their batches.

    Args:
        requested: -1 for the default.
        num_processes: training processes of this machine, of one network or of several.
        batch_bytes: size of a batch, of all loaders together that run at the same time.
    """
    num_workers = requested if requested >= 0 else default_num_workers(num_processes)
    if num_workers and multiprocessing.current_process().daemon:
        logger.warning(
            "a daemonic process cannot start loader processes, so strips are loaded in the training process, which is "
            "slower: start Dask workers with DASK_DISTRIBUTED__WORKER__DAEMON=False"
        )
        return 0
    free = shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else 0
    fitting = free // (BATCHES_PER_WORKER * batch_bytes * num_processes)
    if fitting < num_workers:
        logger.warning(
            "%s has %d MB left, and a loader process takes %d MB of it: %d loader processes instead of %d; "
            "`docker run` gives more by --shm-size=2g",
            *(SHARED_MEMORY, free >> 20, BATCHES_PER_WORKER * batch_bytes >> 20, fitting, num_workers),
        )
    return min(num_workers, fitting)


def default_num_workers(num_processes: int) -> int:
    """Loader processes per training process: one for each core that it leaves free, from 1 to 8.

    It is 0 for a training on a single core without a GPU.
    """
    if torch.get_num_threads() == 1 and not torch.cuda.is_available():
        return 0
    return max(1, min(8, core_count() // num_processes - 1))
