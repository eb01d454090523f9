"""Clusters: a worker of a real Dask and of a real Ray cluster trains; one that is not there is an error with a cure."""

from __future__ import annotations

import pytest
from support.commands import ROOT, run_stage_alone
from support.ray_cluster import ray_cluster
from support.training import ENCODER

from severstal.errors import InputError
from severstal.training import launcher
from severstal.training.clusters import _check_one_at_a_time, dask_backend, ray_backend
from severstal.training.launcher import Launcher

SHORT = (ENCODER, "0", "--epochs", "1", "--num-workers", "1")
# On a busy machine a worker may take minutes to import torch: nothing here may end because of that.
PATIENT = {
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "600s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "600s",
    "DASK_DISTRIBUTED__WORKER__DAEMON": "False",  # so that loader processes can be started
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "1 hour",
}


@pytest.fixture
def cluster_environment(monkeypatch) -> None:
    """The environment of a cluster's machines."""
    for name, value in (PATIENT | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}).items():
        monkeypatch.setenv(name, value)


@pytest.mark.slow
def test_a_worker_of_a_dask_cluster_trains_a_network(tiny, cluster_environment) -> None:
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed")
    dask.config.refresh()
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None, resources={"GPU": 1}
    ) as cluster:
        done = run_stage_alone("train", tiny, *SHORT, "--backend", "dask", "--address", cluster.scheduler_address)
        with distributed.Client(cluster) as client:
            logs = str(client.get_worker_logs())
    assert done.stdout.count(": Dice") == 1, done.stdout
    assert "wrote" in done.stdout
    assert tiny.fold(ENCODER, 0).oof.exists()
    assert "Traceback" not in logs


@pytest.mark.slow
def test_a_worker_of_a_ray_cluster_trains_a_network(tiny) -> None:
    with ray_cluster() as address:
        done = run_stage_alone("train", tiny, *SHORT, "--backend", "ray", "--address", address)
    assert done.stdout.count("epoch 1 of 1") == 1, done.stdout
    assert tiny.fold(ENCODER, 0).oof.exists()


def test_dask_without_an_address_says_how_to_give_one() -> None:
    with pytest.raises(InputError, match="--address, such as"), dask_backend(None):
        pass


@pytest.mark.parametrize(
    ("worker", "at_a_time"),
    [
        ({"nthreads": 1}, 1),
        ({"nthreads": 4}, 4),
        ({"nthreads": 4, "resources": {"GPU": 1}}, 1),
        ({"nthreads": 2, "resources": {"GPU": 2}}, 2),
    ],
)
def test_a_dask_worker_that_would_train_several_networks_in_one_process_is_refused(worker, at_a_time: int) -> None:
    workers = [{"name": "first", "nthreads": 1}, {"name": "second"} | worker]
    if at_a_time == 1:
        _check_one_at_a_time("tcp://10.0.0.1:8786", workers)
        return
    with pytest.raises(InputError, match=rf"second would train {at_a_time} .*DAEMON=False dask worker .*--nthreads 1"):
        _check_one_at_a_time("tcp://10.0.0.1:8786", workers)


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    dask = pytest.importorskip("dask")
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "500ms"}),
        pytest.raises(InputError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"),
        dask_backend("tcp://127.0.0.1:9"),
    ):
        pass


def test_a_ray_cluster_that_is_not_there_is_an_error(monkeypatch) -> None:
    ray = pytest.importorskip("ray")

    def refuse(address: str) -> None:
        raise ConnectionError(f"Could not find any running Ray instance at {address}.")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(InputError, match=r"no Ray cluster answers .*auto.*: start one"), ray_backend(None):
        pass


def test_an_option_for_a_cluster_reaches_it(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(launcher, "dask_backend", lambda address: asked.append(address))
    Launcher("dask", "tcp://10.0.0.1:8786", 1)._backend()
    assert asked == ["tcp://10.0.0.1:8786"]
