"""PyTorch in float16: batch normalisation beyond float16's range, averages, and the order of calls when a CUDA graph is
recorded. The GPU is a stand-in; tests/gpu shows that CUDA accepts these calls."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from severstal.engines import cuda_graphs
from severstal.engines.batch_norm import fold_batch_norms
from severstal.engines.cuda_graphs import CudaGraphs, Float16Network, average
from severstal.postprocess.ensemble_mean import mean_map

EXAMPLE = torch.zeros(1, 1, 8, 8)


class Branched(nn.Module):
    """Of its normalisations one follows a convolution that is read once, one a convolution that is read twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.first_norm = nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.second, self.second_norm = nn.Conv2d(6, 4, 3, padding=1), nn.BatchNorm2d(4)
        generator = torch.Generator().manual_seed(0)
        for norm in (self.first_norm, self.second_norm):
            for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                tensor.data = torch.rand(tensor.shape, generator=generator) + 0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu_(self.first_norm(self.first(x)))
        second = self.second(x)
        return second + self.second_norm(second)


class Multiplier(nn.Module):
    """Stands for an inference graph: ``probability[c] = strip * factor + c``."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor, dtype=torch.uint8), requires_grad=False)
        self.threads: list[int] = []
        self.inputs: list[torch.Tensor] = []

    def forward(self, strips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.threads.append(threading.get_ident())
        self.inputs.append(strips)
        maps = strips * self.factor + torch.arange(4, dtype=torch.uint8)[None, :, None, None]
        return maps, maps.amax(dim=(2, 3))


def test_a_norm_is_folded_only_into_a_convolution_that_nothing_else_reads() -> None:
    network = Branched().eval()
    x = torch.rand(2, 1, 8, 8)
    with torch.inference_mode():
        expected = network(x)
    assert fold_batch_norms(network, EXAMPLE) == 1
    assert isinstance(network.first_norm, nn.Identity)
    assert isinstance(network.second_norm, nn.BatchNorm2d)
    with torch.inference_mode():
        assert torch.allclose(network(x), expected, atol=1e-5)


def test_a_running_variance_beyond_float16_does_not_blank_the_map() -> None:
    network = Branched().eval()
    for norm, convolution in ((network.first_norm, network.first), (network.second_norm, network.second)):
        norm.running_var *= 1e6
        convolution.weight.data *= 1e3
    x = torch.rand(2, 1, 8, 8)
    with torch.inference_mode():
        expected = network(x)
        fold_batch_norms(network, EXAMPLE)
        actual = Float16Network(network)(x).float()
    assert expected.std() > 1
    assert torch.allclose(actual, expected, rtol=0.01, atol=0.01 * float(expected.std()))


@pytest.mark.parametrize("weights", [[1, 1, 1], [3, 1, 0], [5, 90, 161], [0, 7, 0]])
def test_a_mean_of_networks_equals_that_of_the_host_to_the_bit(weights, monkeypatch) -> None:
    monkeypatch.setattr(CudaGraphs, "_record", lambda self, strips: self._model)
    strips = np.random.default_rng(0).integers(0, 256, (11, 6, 10), dtype=np.uint8)
    members = [CudaGraphs(Multiplier(factor)) for factor in (1, 3, 5)]
    outputs = zip(*(member(strips) for member in members), strict=True)
    expected = [mean_map(arrays, weights) for arrays in outputs]
    for actual, wanted in zip(average(members, weights)(strips), expected, strict=True):
        assert np.array_equal(actual, wanted)


class FakeCuda:
    """The calls around a recording, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pools: list[str] = []
        self.recording = False
        handles = iter("abc")
        for cached in (cuda_graphs._memory_pool, cuda_graphs._recording_stream):
            cached.cache_clear()
        stream = SimpleNamespace(wait_stream=lambda other: None)
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=lambda: None))
        monkeypatch.setattr(torch.cuda, "graph", self.graph)
        monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: next(handles))
        monkeypatch.setattr(torch.cuda, "Stream", lambda: stream)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
        monkeypatch.setattr(torch.cuda, "stream", self.stream)

    @contextmanager
    def graph(self, graph, pool, stream, capture_error_mode):
        assert capture_error_mode == "thread_local"
        self.pools.append(pool)
        self.recording = True
        yield
        self.recording = False

    @contextmanager
    def stream(self, stream):
        yield


def test_a_network_runs_in_the_recording_thread_before_it_is_recorded_there(monkeypatch) -> None:
    cuda = FakeCuda(monkeypatch)
    model = Multiplier(1)
    passes: list[bool] = []
    model.register_forward_pre_hook(lambda *_: passes.append(cuda.recording))
    graphs, strips = CudaGraphs(model), np.zeros((2, 6, 10), dtype=np.uint8)
    thread = threading.Thread(target=graphs, args=(strips,))
    thread.start()
    thread.join()
    graphs(strips)
    assert passes == [False, False, True]
    assert model.threads[0] != threading.get_ident()
    assert model.threads[1:] == [threading.get_ident()] * 2
    assert model.inputs[1] is model.inputs[2]


def test_all_graphs_of_all_networks_share_one_memory_pool(monkeypatch) -> None:
    cuda = FakeCuda(monkeypatch)
    for graphs in (CudaGraphs(Multiplier(1)), CudaGraphs(Multiplier(3))):
        for count in (2, 4, 2, 4):
            graphs(np.zeros((count, 6, 10), dtype=np.uint8))
    assert cuda.pools == ["a"] * 4
    cuda_graphs._memory_pool.cache_clear()
    cuda_graphs._recording_stream.cache_clear()
