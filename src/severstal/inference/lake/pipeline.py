"""Shards through Ray Data: a pool of workers, each with its own ensemble, and a report of each shard as it ends."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from severstal.inference.lake.cluster import Resources, is_client_address, ray_data
from severstal.inference.lake.manifest import Shard
from severstal.inference.lake.shards import Counts
from severstal.inference.lake.worker import ShardWorker

Report = tuple[Counts, str]  # of a shard: its counts, and why it could not be finished

logger = logging.getLogger(__name__)


def predict_shards(
    address: str | None, shards: list[Shard], ensemble: Any, settings: dict[str, Any], resources: Resources
) -> Iterator[Report]:
    """Predict shards on a cluster, or on this machine.

    Args:
        address: of the cluster; None for this machine.
        ensemble: the folds folder for this machine, else its files, which are sent to the cluster.
        settings: further arguments of :class:`ShardWorker`.

    Raises:
        InputError: if no cluster answers, or it has no room for a worker.
    """
    with ray_data(address) as ray:
        workers = resources.fitting(ray.cluster_resources())
        logger.info("%d workers of %d cores and %g GPUs", workers, resources.cpus, resources.gpus)
        arguments = settings | {"ensemble": ensemble if address is None else ray.put(ensemble)}
        if not is_client_address(address):
            yield from _reports(ray, shards, arguments, resources, workers)
            return
        # Ray Data does not run through Ray's client: a process of the cluster drives it, and is asked for each report.
        remote = ray.remote(num_cpus=0)(RemotePipeline).remote(shards, arguments, resources, workers)
        while (report := ray.get(remote.next.remote())) is not None:
            yield report


class RemotePipeline:
    """The pipeline in a process of the cluster; it ends with the client that started it."""

    def __init__(self, shards: list[Shard], arguments: dict[str, Any], resources: Resources, workers: int) -> None:
        import ray
        import ray.data

        self._reports = _reports(ray, shards, arguments, resources, workers)

    def next(self) -> Report | None:
        """The next report; None after the last."""
        return next(self._reports, None)


def _reports(
    ray: ModuleType, shards: list[Shard], arguments: dict[str, Any], resources: Resources, workers: int
) -> Iterator[Report]:
    """A block for each shard, so that a shard is a task, which Ray repeats if its worker dies."""
    ray.data.DataContext.get_current().enable_progress_bars = False
    # It warns that no resources are left for a task, which is what a pool with all cores of a cluster looks like.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    rows = [
        {"number": shard.number, "file": str(shard.file), "row_group": shard.row_group, "size": shard.size}
        for shard in shards
    ]
    predicted = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        ShardWorker,
        batch_size=1,
        fn_constructor_kwargs=arguments,
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(shards)), max_tasks_in_flight_per_actor=1),
        num_cpus=resources.cpus,
        num_gpus=resources.gpus,
    )
    for batch in predicted.iter_batches(batch_size=1, prefetch_batches=0):
        yield Counts(**json.loads(str(batch["counts"][0]))), str(batch["error"][0])
