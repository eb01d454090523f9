"""OpenVINO as it is compiled here."""

from __future__ import annotations

import numpy as np
import openvino
from openvino import opset13

from severstal.engines.openvino_engine import OpenVinoEngine


def test_a_limit_of_threads_leaves_the_cores_to_the_operating_system(monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    strips = opset13.parameter([1, 4], np.float32)
    compiled = OpenVinoEngine.compile(openvino.Model([opset13.relu(strips)], [strips]))._model
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert not compiled.get_property("ENABLE_CPU_PINNING"), "several such processes would share the first core"
