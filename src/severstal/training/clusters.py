"""Connections to Dask and Ray clusters, as contexts in which joblib runs its tasks on the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from joblib import parallel_config

from severstal.errors import InputError, first_line

WORKER_COMMAND = (
    "DASK_DISTRIBUTED__WORKER__DAEMON=False dask worker {address} --nworkers N --nthreads 1, with N as the number of "
    "GPUs and --resources GPU=1; without GPUs N as the number of networks that the machine trains at a time"
)


@contextmanager
def dask_backend(address: str | None) -> Iterator[None]:
    """Run joblib's tasks on the workers of a Dask cluster.

    Args:
        address: of the scheduler.

    Raises:
        InputError: if it is missing, Dask is not installed, no scheduler answers, it has no workers, or a worker would
            train several networks in one process.
    """
    if address is None:
        raise InputError("--backend dask takes the scheduler's --address, such as tcp://10.0.0.1:8786")
    try:
        from distributed import Client
    except ImportError:
        raise InputError("Dask is not installed: run `bash bin/setup.sh --cluster`") from None
    try:
        client = Client(address)  # waits as long as Dask's own setting comm.timeouts.connect says
    except OSError as error:
        raise InputError(
            f"no Dask scheduler answers at {address} ({first_line(error)}): start one, see docs/training.md"
        ) from None
    with client:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        if not workers:
            raise InputError(f"the Dask scheduler at {address} has no workers: start some, see docs/training.md")
        _check_one_at_a_time(address, list(workers))
        has_gpus = any("GPU" in worker.get("resources", {}) for worker in workers)
        requirements = {"resources": {"GPU": 1}} if has_gpus else {}
        with parallel_config(backend="dask", **requirements):
            yield


def _check_one_at_a_time(address: str, workers: list[dict[str, Any]]) -> None:
    """Raise an error if a worker would train networks as threads of one process.

    They would share the process's random numbers, and its one GPU.
    """
    for worker in workers:
        at_a_time = min(worker["nthreads"], int(worker.get("resources", {}).get("GPU", worker["nthreads"])))
        if at_a_time > 1:
            raise InputError(
                f"the Dask worker {worker.get('name')} would train {at_a_time} networks as threads of one process, on "
                f"one GPU and with shared random numbers: start workers of one thread each, "
                f"`{WORKER_COMMAND.format(address=address)}`"
            )


@contextmanager
def ray_backend(address: str | None) -> Iterator[None]:
    """Run joblib's tasks on the workers of a Ray cluster.

    Args:
        address: of the cluster; None: the cluster that this machine belongs to.

    Raises:
        InputError: if Ray is not installed or no cluster answers.
    """
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError:
        raise InputError("Ray is not installed: run `bash bin/setup.sh --cluster`") from None
    try:
        ray.init(address=address or "auto")
    except (ConnectionError, ValueError) as error:
        raise InputError(f"no Ray cluster answers ({first_line(error)}): start one, see docs/training.md") from None
    try:
        register_ray()
        requirements = {"num_gpus": 1} if ray.cluster_resources().get("GPU") else {}
        with parallel_config(backend="ray", ray_remote_args=requirements):
            yield
    finally:
        ray.shutdown()
