"""Float32 is float32: TF32 is off while reference maps are computed, and as it was afterwards."""

from __future__ import annotations

import types

import numpy as np
import pytest
import torch
from torch import nn

from severstal.engines.torch_engine import TorchEngine
from severstal.models.tf32 import without_tf32
from severstal.training.crops import StripDataset
from severstal.training.validation import predict_out_of_fold


def settings() -> list[str]:
    return [torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision]


class RecordsSettings(nn.Module):
    """A graph that keeps the settings under which it ran."""

    def forward(self, strips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.settings = settings()
        return torch.zeros(len(strips), 4, 8, 8), torch.zeros(len(strips), 4)


class OneStrip(StripDataset):
    def __init__(self) -> None:
        self.images = ["a.jpg"]

    @property
    def shape(self) -> tuple[int, int]:
        return 8, 8

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(1, 8, 8, dtype=torch.uint8), torch.zeros(8, 8, dtype=torch.uint8)


def test_out_of_fold_maps_are_computed_without_tf32() -> None:
    before, graph = settings(), RecordsSettings()
    predicted = predict_out_of_fold(graph, OneStrip(), 1, torch.device("cpu"))
    next(predicted)
    assert graph.settings == ["ieee", "ieee"]
    assert settings() == before, "while the caller holds the maps, its own settings are in force"


def test_the_reference_engine_computes_without_tf32() -> None:
    engine, graph = TorchEngine.__new__(TorchEngine), RecordsSettings()
    engine._device, engine._model = torch.device("cpu"), graph
    engine(np.zeros((1, 8, 8), np.uint8))
    assert graph.settings == ["ieee", "ieee"]


def test_the_settings_come_back_after_an_error() -> None:
    before = settings()
    with pytest.raises(KeyError), without_tf32():
        raise KeyError
    assert settings() == before


def test_earlier_releases_of_pytorch_are_asked_in_their_way(monkeypatch) -> None:
    cudnn, matmul = types.SimpleNamespace(allow_tf32=True), types.SimpleNamespace(allow_tf32=True)
    monkeypatch.setattr(torch.backends, "cudnn", cudnn)
    monkeypatch.setattr(torch.backends.cuda, "matmul", matmul)
    with without_tf32():
        assert not cudnn.allow_tf32
        assert not matmul.allow_tf32
    assert cudnn.allow_tf32
    assert matmul.allow_tf32
