"""Where networks are trained: in processes of this machine, or on the workers of a Dask or Ray cluster, through joblib.

One (encoder, fold) is the unit. What fails is tried once more, going on after its last whole epoch, and is reported
when all others are done: it takes none of them down.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError

from severstal.errors import InputError, first_line
from severstal.hardware import gpu_count
from severstal.training.job import Job

BACKENDS = ("local", "dask", "ray")
MEMORY_OF_A_JOB = 4 << 30  # bytes; a big encoder at the full height of a strip takes about as much


@dataclass(frozen=True)
class Outcome:
    """What became of a job: its key number as a line, or what went wrong."""

    name: str
    line: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Workers:
    """How many jobs run at once, and where.

    Attributes:
        address: of a cluster's scheduler; None for Ray: the cluster that this machine belongs to.
        at_once: jobs at a time; a cluster decides by its workers.
    """

    backend: str
    address: str | None
    at_once: int

    def run(self, jobs: list[Job], say: Callable[[str], None]) -> None:
        """Do all jobs; each one's key number is said.

        Raises:
            InputError: naming the jobs that failed twice, after all others are done.
        """
        if "WORLD_SIZE" in os.environ:  # torchrun's processes do one job together, and end together
            for job in jobs:
                say(job.run())
            return
        failed = self._attempt(jobs, say)
        if failed:
            say(f"tried once more: {', '.join(outcome.name for outcome in failed)}")
            names = {outcome.name for outcome in failed}
            failed = self._attempt([job for job in jobs if job.member.name in names], say)
        if failed:
            names_of: dict[str | None, list[str]] = {}
            for outcome in failed:
                names_of.setdefault(outcome.error, []).append(outcome.name)
            reasons = "; ".join(f"{', '.join(names)}: {error}" for error, names in names_of.items())
            others = ", the others are done" if len(failed) < len(jobs) else ""
            raise InputError(f"{len(failed)} of {len(jobs)} networks were not trained{others}: {reasons}")

    def _attempt(self, jobs: list[Job], say: Callable[[str], None]) -> list[Outcome]:
        failed: list[Outcome] = []
        done: set[str] = set()
        try:
            with self._backend():
                # Ray's backend of joblib gives outcomes only when all are there.
                arrival = "list" if self.backend == "ray" else "generator_unordered"
                made = Parallel(n_jobs=self._parallel(), return_as=arrival)(
                    delayed(attempt)(job, alone=self.at_once == 1 and self.backend == "local") for job in jobs
                )
                for outcome in made:
                    done.add(outcome.name)
                    if outcome.error is None:
                        say(outcome.line)
                    else:
                        failed.append(outcome)
                        say(f"{outcome.name} failed: {outcome.error}")
        except TerminatedWorkerError:
            # joblib ends the others of its pool too; they go on from their checkpoints in the next attempt.
            lost = [job.member.name for job in jobs if job.member.name not in done]
            say(f"a training process was killed (out of memory? see --jobs): {', '.join(lost)} not finished")
            failed += [Outcome(name, error="its process was killed") for name in lost]
        return failed

    def _parallel(self) -> int:
        return self.at_once if self.backend == "local" else -1

    def _backend(self) -> AbstractContextManager[Any]:
        if self.backend == "local":
            return nullcontext()
        return _dask(self.address) if self.backend == "dask" else _ray(self.address)


def attempt(job: Job, *, alone: bool) -> Outcome:
    """Do a job in this process; what goes wrong becomes its outcome."""
    name = job.member.name
    try:
        _check_folders(job)
        claim_gpu()
        return Outcome(name, line=job.run(alone=alone))
    except InputError as error:
        return Outcome(name, error=str(error))
    except Exception as error:  # whatever it is, the others go on
        traceback.print_exc()
        return Outcome(name, error=f"{type(error).__name__}: {first_line(error)}")


def _check_folders(job: Job) -> None:
    paths = job.member.paths
    for folder in (paths.input, paths.folds):
        if not folder.is_dir():
            raise InputError(
                f"this worker ({os.uname().nodename}) sees no {folder}: folders must lie under the same path on all "
                "machines of a cluster, on a shared disk"
            )


# -- GPUs ------------------------------------------------------------------------------------------

_claimed: list[TextIO] = []


def claim_gpu(folder: Path | None = None) -> int | None:
    """Take a GPU that no other training of this machine has, for as long as this process lives.

    None where there is at most one, where one was chosen already (CUDA_VISIBLE_DEVICES), or where all are taken.
    """
    if gpu_count() < 2 or _claimed or "CUDA_VISIBLE_DEVICES" in os.environ:
        return None
    for number in range(gpu_count()):
        lock = ((folder or Path(tempfile.gettempdir())) / f"severstal-gpu-{number}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it with the process
        except OSError:
            lock.close()
            continue
        _claimed.append(lock)
        os.environ["CUDA_VISIBLE_DEVICES"] = str(number)
        return number
    return None


def jobs_at_once(asked: int | None, left: int) -> int:
    """How many of the networks that are left train at the same time on this machine.

    Without a GPU each gets an equal part of the cores: two networks on a core each learn faster than one after the
    other on both, which wait for each other several hundred times a step.
    """
    if asked is not None and asked < 1:
        raise InputError(f"--jobs {asked}: at least one network is trained at a time")
    room = gpu_count() or min(os.cpu_count() or 1, max(_memory() // MEMORY_OF_A_JOB, 1))
    return max(min(asked or room, left), 1)


def _memory() -> int:
    """Bytes of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


# -- clusters --------------------------------------------------------------------------------------


@contextmanager
def _dask(address: str | None) -> Iterator[None]:
    if address is None:
        raise InputError("--backend dask takes the scheduler's --address, such as tcp://10.0.0.1:8786")
    try:
        from distributed import Client
    except ImportError:
        raise InputError("Dask is not installed: run `.venv/bin/pip install -r requirements-cluster.txt`") from None
    try:
        client = Client(address, timeout=20)
    except OSError as error:
        raise InputError(
            f"no Dask scheduler answers at {address} ({first_line(error)}): start one, see the README"
        ) from None
    with client:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        if not workers:
            raise InputError(f"the Dask scheduler at {address} has no workers: start some, see the README")
        # A worker that was started with --resources GPU=n trains n networks at a time, one on each.
        gpus = {"resources": {"GPU": 1}} if any("GPU" in worker.get("resources", {}) for worker in workers) else {}
        with parallel_config(backend="dask", **gpus):
            yield


@contextmanager
def _ray(address: str | None) -> Iterator[None]:
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError:
        raise InputError("Ray is not installed: run `.venv/bin/pip install -r requirements-cluster.txt`") from None
    try:
        ray.init(address=address or "auto")
    except (ConnectionError, ValueError) as error:
        raise InputError(f"no Ray cluster answers ({first_line(error)}): start one, see the README") from None
    try:
        register_ray()
        gpus = {"num_gpus": 1} if ray.cluster_resources().get("GPU") else {}
        with parallel_config(backend="ray", ray_remote_args=gpus):
            yield
    finally:
        ray.shutdown()
