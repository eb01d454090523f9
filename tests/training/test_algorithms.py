"""Which algorithms a training uses: repeatable ones on a CPU, the fastest on a GPU."""

from __future__ import annotations

import pytest
import torch

from severstal.training import learner
from severstal.training.trainer import choose_algorithms


@pytest.mark.parametrize(("device", "repeats"), [("cpu", True), ("cuda", False)])
def test_a_cpu_repeats_bit_for_bit_and_a_gpu_measures_its_algorithms(monkeypatch, device: str, repeats: bool) -> None:
    asked = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda value, warn_only: asked.append(value))
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", repeats)
    choose_algorithms(torch.device(device))
    assert asked == [repeats]
    assert torch.backends.cudnn.benchmark is not repeats


def test_a_network_is_compiled_for_a_gpu_alone(monkeypatch) -> None:
    network = torch.nn.Linear(1, 1)
    monkeypatch.setattr(torch, "compile", lambda given: ("compiled", given))
    assert learner.compiled(network, torch.device("cuda")) == ("compiled", network)
    assert learner.compiled(network, torch.device("cpu")) is network
