"""A connection to Ray: a cluster at an address, or Ray started on this machine for as long as the context lasts."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import severstal
from severstal.errors import InputError, first_line

OBJECT_STORE = 2**28  # bytes; a result's rows never pass through it


@dataclass(frozen=True)
class Resources:
    """What one worker reserves, and how many there are.

    Attributes:
        cpus: cores, which are also the threads that a network computes with.
        gpus: GPUs; a fraction where workers share one.
        workers: None for as many as fit into the cluster.
    """

    cpus: int = 1
    gpus: float = 0
    workers: int | None = None

    def fitting(self, available: dict[str, float]) -> int:
        """The number of workers.

        Args:
            available: a cluster's resources, as Ray names them.

        Raises:
            InputError: if not even one fits.
        """
        fitting = int(available.get("CPU", 0) // self.cpus)
        if self.gpus:
            fitting = min(fitting, int(available.get("GPU", 0) / self.gpus))
        if not fitting:
            raise InputError(
                f"a worker takes {self.cpus} cores and {self.gpus:g} GPUs, and the cluster has "
                f"{available.get('CPU', 0):g} and {available.get('GPU', 0):g}: lower --cpus-per-worker or "
                "--gpus-per-worker"
            )
        return fitting if self.workers is None else self.workers


@contextmanager
def ray_data(address: str | None, environment: dict[str, Any] | None = None) -> Iterator[ModuleType]:
    """Ray, connected; its data module is loaded and prints no progress of its own.

    Args:
        address: such as ``ray://HOST:10001``, or ``auto`` for the cluster that this machine belongs to; None to start
            Ray here.
        environment: Ray's ``runtime_env``; by default a cluster's workers get this package.

    Raises:
        InputError: if no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    import ray.data

    try:
        if address is None:
            ray.init(
                address="local", include_dashboard=False, object_store_memory=OBJECT_STORE, logging_level=logging.ERROR
            )
        else:
            package = {"py_modules": [str(Path(severstal.__file__).parent)]}
            ray.init(address=address, runtime_env=environment or package, logging_level=logging.ERROR)
    except (ConnectionError, ValueError) as error:
        raise InputError(
            f"no Ray cluster answers at {address} ({first_line(error)}): start one, and set RAY_AUTH_MODE=token "
            "where it asks for a token; see docs/scaling.md"
        ) from None
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        # Its warning that no resources are left for a task is what a pool with all cores of a cluster looks like.
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        yield ray
    finally:
        ray.shutdown()
