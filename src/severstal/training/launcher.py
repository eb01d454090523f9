"""Runs training jobs: in processes of this machine, or on the workers of a Dask or Ray cluster, through joblib.

A job is one (encoder, fold). A job that fails is tried once more, from its last complete epoch, unless its error is one
that a second attempt would only repeat. It is reported after all others are done; its failure does not stop them.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from severstal.console import set_up_logging
from severstal.errors import InputError, describe_system_error, first_line
from severstal.hardware import core_count, gpu_count, memory_bytes
from severstal.processes import process_pool, started_by_torchrun
from severstal.training.clusters import dask_backend, ray_backend
from severstal.training.gpu_lock import claim_gpu
from severstal.training.job import Job

BACKENDS = ("local", "dask", "ray")
MIN_CLUSTER_JOBS = 2  # assumed on a machine of a cluster: a worker does not know how many others there are
MEMORY_PER_JOB = 4 << 30  # bytes; a big encoder at the full height of a strip takes about as much
STRIP_PIXELS = 256 * 1600  # of that strip; larger strips take more memory in proportion


@dataclass(frozen=True)
class Outcome:
    """Result of a job: a line with its key number, or the error.

    Attributes:
        is_final: whether a second attempt would end with the same error: a person has to change something first.
    """

    name: str
    line: str = ""
    error: str | None = None
    is_final: bool = False


@dataclass(frozen=True)
class Launcher:
    """Runs jobs on one backend.

    Attributes:
        backend: one of ``BACKENDS``.
        address: of a cluster's scheduler; None for Ray: the cluster that this machine belongs to.
        concurrency: jobs at a time on this machine; a cluster runs as many as its workers take.
        num_threads: of each job on this machine, see :mod:`severstal.training.threads`.
    """

    backend: str
    address: str | None
    concurrency: int
    num_threads: int | None = None

    def run(self, jobs: list[Job], say: Callable[[str], None]) -> None:
        """Run all jobs; ``say`` gets one line for each.

        Raises:
            InputError: naming the jobs that failed, after all others are done.
        """
        if started_by_torchrun():  # its processes train one network together and end together
            for job in jobs:
                say(job.run())
            return
        failed = self._run_once(jobs, say)
        names = [outcome.name for outcome in failed if not outcome.is_final]
        if names:
            say(f"tried once more: {', '.join(names)}")
            again = self._run_once([job for job in jobs if job.member.name in names], say)
            failed = [outcome for outcome in failed if outcome.is_final] + again
        if failed:
            others = ", the others are done" if len(failed) < len(jobs) else ""
            raise InputError(f"{len(failed)} of {len(jobs)} networks were not trained{others}: {_reasons(failed)}")

    def _run_once(self, jobs: list[Job], say: Callable[[str], None]) -> list[Outcome]:
        """Run each job; returns the outcomes of those that failed."""
        failed: list[Outcome] = []
        finished: set[str] = set()
        try:
            with self._backend():
                for outcome in self._outcomes(jobs):
                    finished.add(outcome.name)
                    if outcome.error is None:
                        say(outcome.line)
                    else:
                        failed.append(outcome)
                        say(f"{outcome.name} failed: {outcome.error}")
        except TerminatedWorkerError:
            # joblib then ends the other processes of its pool too; those jobs go on from their checkpoints.
            lost = [job.member.name for job in jobs if job.member.name not in finished]
            say(f"a training process was killed (out of memory? see --jobs): {', '.join(lost)} not finished")
            failed += [Outcome(name, error="its process was killed") for name in lost]
        return failed

    def _outcomes(self, jobs: list[Job]) -> Iterable[Outcome]:
        local = self.backend == "local"
        parallel = Parallel(
            n_jobs=self.concurrency if local else -1,
            # joblib's backend for Ray returns outcomes only when all jobs have ended.
            return_as="list" if self.backend == "ray" else "generator_unordered",
        )
        shares = (self.concurrency, self.num_threads) if local else (None, None)
        return parallel(delayed(run_job)(job, *shares) for job in jobs)

    def _backend(self) -> AbstractContextManager[Any]:
        if self.backend == "local":
            return process_pool()
        return dask_backend(self.address) if self.backend == "dask" else ray_backend(self.address)


def _reasons(failed: list[Outcome]) -> str:
    """Each different error once, after the names of the jobs that it ended."""
    names_of: dict[str | None, list[str]] = {}
    for outcome in failed:
        names_of.setdefault(outcome.error, []).append(outcome.name)
    return "; ".join(f"{', '.join(names)}: {error}" for error, names in names_of.items())


def run_job(job: Job, num_jobs: int | None, num_threads: int | None = None) -> Outcome:
    """Run a job in this process; an error becomes its outcome.

    Args:
        num_jobs: jobs that run at the same time on this machine; None for a worker of a cluster: one for each GPU.
        num_threads: of the network; None for torch's own number.
    """
    set_up_logging()
    num_jobs = num_jobs or max(gpu_count(), MIN_CLUSTER_JOBS)  # before one of the GPUs is claimed
    name = job.member.name
    try:
        if missing := _missing_folder(job):
            return Outcome(name, error=missing)  # not final: another worker may see it
        claim_gpu()
        return Outcome(name, line=job.run(num_jobs=num_jobs, num_threads=num_threads))
    except InputError as error:
        return Outcome(name, error=str(error), is_final=True)
    except OSError as error:  # a full disk, a missing permission: nothing that a traceback would explain
        return Outcome(name, error=describe_system_error(error))
    except Exception as error:  # any error: the other jobs go on
        traceback.print_exc()
        return Outcome(name, error=f"{type(error).__name__}: {first_line(error)}")


def _missing_folder(job: Job) -> str | None:
    """The error of a cluster's worker that does not have the experiment's folders."""
    paths = job.member.paths
    for folder in (paths.input, paths.folds):
        if not folder.is_dir():
            return (
                f"this worker ({os.uname().nodename}) sees no {folder}: folders must lie under the same path on all "
                "machines of a cluster, on a shared disk"
            )
    return None


def default_concurrency(requested: int | None, num_jobs: int, strip_pixels: int = STRIP_PIXELS) -> int:
    """How many of the jobs run at the same time on this machine.

    One per GPU. Without a GPU one per core, as far as the memory allows: two networks trained on a core each are
    faster than one after the other on both cores, which wait for each other several hundred times per step.

    Args:
        requested: the option ``--jobs``, or None.
        strip_pixels: of a strip; networks of larger strips need more memory.

    Raises:
        InputError: if less than one is requested.
    """
    if requested is not None and requested < 1:
        raise InputError(f"--jobs {requested}: at least one network is trained at a time")
    memory = MEMORY_PER_JOB * max(strip_pixels, STRIP_PIXELS) // STRIP_PIXELS
    capacity = gpu_count() or min(core_count(), max(memory_bytes() // memory, 1))
    return max(min(requested or capacity, num_jobs), 1)
