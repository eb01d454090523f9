"""Validation counts pixels beside a GPU with the scores of one thread; maps are loaded by the processes asked for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.training import job
from support.untrained_folds import write_untrained_folds

from severstal.models import inference_graph
from severstal.paths import Paths
from severstal.training import validation
from severstal.training.distributed import Distributed
from severstal.training.validation import score_fold

SIZE = (8, 16)


class Strips(torch.Tensor):
    """Strips that a device which is not there may be asked to take."""

    def to(self, *_: object, **__: object) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)


def graph(strips: torch.Tensor) -> tuple[torch.Tensor, None]:
    """Maps of four classes that follow the grey levels."""
    return torch.cat([strips // (number + 1) for number in range(4)], dim=1), None


def test_pixels_are_counted_in_threads_beside_a_gpu_with_the_scores_of_one_thread(monkeypatch) -> None:
    started = []

    def pool(num_threads: int) -> ThreadPoolExecutor:
        started.append(num_threads)
        return ThreadPoolExecutor(num_threads)

    monkeypatch.setattr(validation, "ThreadPoolExecutor", pool)
    monkeypatch.setattr(validation, "core_count", lambda: 16)
    monkeypatch.setattr(validation, "SCORING_AHEAD", 2)
    rng = np.random.default_rng(0)
    batches = [
        (
            torch.from_numpy(rng.integers(0, 256, (3, 1, *SIZE), dtype=np.uint8)).as_subclass(Strips),
            torch.from_numpy(rng.integers(0, 16, (3, *SIZE), dtype=np.uint8)),
        )
        for _ in range(3)
    ]
    devices = torch.device("cpu"), SimpleNamespace(type="cuda")
    on_cpu, on_gpu = (score_fold(graph, batches, Distributed(0, 1, device)) for device in devices)
    assert started == [1, validation.SCORING_THREADS]
    assert np.array_equal(on_cpu.default, on_gpu.default)
    assert np.array_equal(on_cpu.tuned, on_gpu.tuned)
    assert 0 < on_cpu.tuned.min() < 1


def test_out_of_fold_strips_are_loaded_by_as_many_processes_as_asked_for(tiny: Paths, monkeypatch) -> None:
    asked = []

    def loader(_: object, **options: int) -> None:
        asked.append(options["num_workers"])
        raise KeyboardInterrupt

    write_untrained_folds(tiny).member.files.oof.unlink()
    monkeypatch.setattr(inference_graph, "load_inference_graph", lambda *_: None)
    monkeypatch.setattr(validation, "StripLoader", loader)
    with pytest.raises(KeyboardInterrupt):
        job(tiny, {"num_workers": 2}).run()
    assert asked == [2]
