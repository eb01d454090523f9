"""The check that runs on a GPU, run on the engines of a CPU: its table, its file, and an engine that fails."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from support.commands import arguments_of

import gpu_check
from severstal import recipe
from severstal.artifacts import read_json, write_json
from severstal.data.training_set import read_training_set
from severstal.engines import base as engines
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.training.job import Job


@pytest.fixture
def trained(tiny):
    """Two folds, trained for a moment, and values as tuning leaves them."""
    import tune

    values = recipe.read(tiny.recipe).model_dump() | {"tta": [], "epochs": 1}
    write_json(tiny.recipe, values)
    data, chosen = read_training_set(tiny), recipe.read(tiny.recipe)
    for fold in range(2):
        Job.of(Member(tiny, "tu-mobilenetv4_conv_small", fold), data, chosen, {}).run()
    run(tune, tiny)
    return tiny


def run(stage, paths, *options: str) -> None:
    argv, sys.argv = sys.argv, [stage.__name__, *arguments_of(paths), *options]
    try:
        stage.main()
    finally:
        sys.argv = argv


@pytest.mark.slow
def test_every_engine_is_a_row_with_parity_dice_and_speed(trained, capsys, monkeypatch) -> None:
    run(gpu_check, trained, "--engines=onnxruntime,openvino", "--strips=6", "--rounds=1")
    rows = read_json(trained.gpu_check, "")["rows"]
    assert [(row["network"], row["engine"]) for row in rows] == [
        *(
            (f"tu-mobilenetv4_conv_small fold {fold}", name)
            for fold in range(2)
            for name in ("onnxruntime", "openvino")
        ),
        ("all 2", "onnxruntime"),
        ("all 2", "openvino"),
    ]
    for row in rows:
        assert all(row[f"rate_{batch}"] > 0 for batch in (1, 4, 8))
    assert all(row["largest"] <= 3 and abs(row["dice"] - row["pytorch"]) < 0.01 for row in rows[:4])
    assert capsys.readouterr().out.count("| tu-mobilenetv4_conv_small fold") == 4

    # One engine that is wrong, and a mean on the GPU that is: rows that say so, the others go on, and an error ends it.
    monkeypatch.setattr(engines.runtime("openvino"), "load", lambda member: lambda strips: wrong(strips))
    together = lambda loaded, weights: lambda strips: np.zeros((len(strips), 4, 64, 96), np.uint8)  # noqa: E731
    monkeypatch.setattr(engines.runtime("onnxruntime"), "together", together, raising=False)
    with pytest.raises(InputError, match=r"fold 0, openvino: .*does not match PyTorch.*all 2, onnxruntime: the mean"):
        run(gpu_check, trained, "--engines=onnxruntime,openvino", "--strips=6", "--rounds=1")
    rows = read_json(trained.gpu_check, "")["rows"]
    assert [row["engine"] for row in rows if "failed" in row] == ["openvino", "openvino", "onnxruntime"]


def wrong(strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    maps = np.full((len(strips), 4, 64, 96), 255, dtype=np.uint8)
    return maps, maps.max(axis=(2, 3))


def test_without_a_gpu_it_says_so(trained, monkeypatch) -> None:
    monkeypatch.setattr(engines, "gpu_count", lambda: 0)
    with pytest.raises(InputError, match="needs an NVIDIA GPU"):
        run(gpu_check, trained)
