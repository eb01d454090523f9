"""A connection to Ray: a cluster at an address, or Ray started on this machine for as long as the context lasts."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

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


def is_client_address(address: str | None) -> bool:
    """Whether an address is one of Ray's client server, which a machine outside of the cluster connects to."""
    return address is not None and address.startswith("ray://")


@contextmanager
def ray_data(address: str | None) -> Iterator[ModuleType]:
    """Ray, connected, with its data module loaded.

    Args:
        address: such as ``ray://HOST:10001``, or ``auto`` for the cluster that this machine belongs to; None to start
            Ray here.

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
            # The cluster's workers get this package.
            package = {"py_modules": [str(Path(severstal.__file__).parent)]}
            ray.init(address=address, runtime_env=package, logging_level=logging.ERROR)
    except (ConnectionError, ValueError) as error:
        raise InputError(
            f"no Ray cluster answers at {address} ({first_line(error)}): start one, and set RAY_AUTH_MODE=token "
            "where it asks for a token; see docs/scaling.md"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()
