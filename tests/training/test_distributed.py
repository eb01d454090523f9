"""torchrun: two processes train the network that one process would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from support.commands import ROOT, arguments_of
from support.experiments import RECIPE_OF, write_tiny
from support.training import ENCODER, is_finished, job, log_of, weights_of

from severstal.training import distributed
from severstal.training.distributed import Distributed, init_distributed
from severstal.training.job import Job

LEARNING_RATE, STEPS = 1e-3, 6
VALUES = {"epochs": 2, "amp": "off", "samples_per_epoch": 12, "learning_rate": LEARNING_RATE}


def torchrun(*program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in two processes, which PyTorch joins by gloo where there is no GPU."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *program]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "tests")}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.slow
def test_two_processes_of_torchrun_train_the_network_of_one(tiny, tmp_path) -> None:
    """Batch statistics, Dice and gradients are those of the global batch: only float32 rounding differs."""
    alone = write_tiny(tmp_path / "alone")
    job(alone, VALUES).run(num_threads=1)  # as those of torchrun: more threads round differently
    values = [part for name, value in VALUES.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    done = torchrun(str(ROOT / "src" / "train.py"), *arguments_of(tiny), ENCODER, "0", *values)
    assert done.returncode == 0, done.stderr
    for line in ("epoch 1/2", "oof.npz"):
        assert done.stdout.count(line) == 1, "only one of the processes reports"
    assert is_finished(job(tiny, VALUES))
    losses = [[record["loss"] for record in log_of(paths)] for paths in (alone, tiny)]
    assert losses[0] == pytest.approx(losses[1], rel=2e-4)
    expected, both = weights_of(alone), weights_of(tiny)
    assert both.keys() == expected.keys()
    # AdamW turns the rounding of a gradient near zero into a whole step.
    for name, value in expected.items():
        difference = float((both[name].float() - value.float()).abs().max())
        assert difference < STEPS * LEARNING_RATE + 0.05 * float(value.abs().max()), name


@pytest.mark.slow
def test_two_processes_of_torchrun_train_every_encoder_of_every_recipe() -> None:
    """A parameter without a gradient, such as those of EfficientNet's classifier, would stop the second step."""
    done = torchrun("-m", "support.distributed_steps")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"trained {encoder}" for encoder in RECIPE_OF]
    assert {"efficientnet-b3", "tu-convnext_tiny"} <= RECIPE_OF.keys()


@pytest.fixture
def group(tmp_path) -> Iterator[None]:
    """A group of which this process is the only member; the checks of DistributedDataParallel are those of many."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_gradients_flow_through_a_sum_over_processes(group) -> None:
    values = torch.tensor([1.0, 2.0], requires_grad=True)
    (
        Distributed(rank=0, world_size=2, device=torch.device("cpu")).all_reduce(values) * torch.tensor([3.0, 5.0])
    ).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [3.0, 5.0]


def test_every_process_of_torchrun_tells_nccl_its_gpu(monkeypatch) -> None:
    """NCCL would guess it from the rank, which counts over all machines."""
    given: dict[str, Any] = {}
    for name, value in {"WORLD_SIZE": "8", "RANK": "6", "LOCAL_RANK": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: given.update(set_device=device))
    monkeypatch.setattr(dist, "init_process_group", lambda backend, **options: given.update(options, backend=backend))
    monkeypatch.setattr(dist, "get_rank", lambda: 6)
    monkeypatch.setattr(dist, "get_world_size", lambda: 8)
    monkeypatch.setattr(distributed, "end_with_parent", lambda: None)
    gpu = torch.device("cuda", 2)
    assert init_distributed() == Distributed(6, 8, gpu)
    assert given == {"set_device": gpu, "backend": "nccl", "device_id": gpu}


def test_processes_part_before_one_of_them_predicts_the_maps(trained, monkeypatch) -> None:
    """The others have ended when it is done: a collective after that would wait for them."""
    order = []

    class Process(Distributed):
        def close(self) -> None:
            order.append("close")

    monkeypatch.setattr(distributed, "init_distributed", lambda: Process(0, 1, torch.device("cpu")))
    monkeypatch.setattr(Job, "is_trained", lambda self: True)
    monkeypatch.setattr(Job, "_predict", lambda self, device, num_jobs: order.append("predict"))
    trained.job.run()
    assert order[:2] == ["close", "predict"]
