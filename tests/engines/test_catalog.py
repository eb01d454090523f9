"""Which engine is used, and what a person reads who asks for one that cannot be."""

from __future__ import annotations

import pytest
from support.commands import run_python

from severstal.engines import catalog
from severstal.engines.openvino_engine import OpenVinoEngine
from severstal.engines.tensorrt_engine import TensorRTEngine
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.paths import Paths


@pytest.mark.parametrize("name", catalog.NAMES)
def test_an_engine_is_found_by_its_name_and_says_what_it_can_do(name) -> None:
    engine_class = catalog.engine_class(name)
    assert engine_class.name == name
    assert engine_class.packages
    assert engine_class.is_reduced() == (engine_class.precision != "fp32")
    assert engine_class.needs_gpu() == (name.startswith("tensorrt") or name == "torch-fp16")
    assert (engine_class.tolerance is None) == (engine_class.precision == "int8")


def test_looking_at_the_catalog_imports_no_runtime() -> None:
    script = (
        "import sys\n"
        "from severstal.engines import catalog\n"
        "print([catalog.engine_class(name).is_installed() for name in catalog.NAMES])\n"
        "assert not {'torch', 'onnxruntime', 'openvino', 'nncf', 'tensorrt', 'tensorrt_rtx'} & set(sys.modules)\n"
    )
    run_python(script)


def test_auto_is_openvino_without_a_gpu(monkeypatch) -> None:
    monkeypatch.setattr(catalog, "gpu_count", lambda: 0)
    assert catalog.choose("auto") == "openvino"


@pytest.mark.parametrize(
    ("installed", "capability", "engine"),
    [
        ("tensorrt", "9.0", "tensorrt"),
        ("tensorrt", "6.0", "torch-fp16"),
        ("tensorrt_rtx", "8.9", "tensorrt"),
        ("tensorrt_rtx", "12.0", "tensorrt"),
        ("tensorrt_rtx", "8.0", "tensorrt"),
        ("tensorrt_rtx", "7.5", "tensorrt"),
        ("tensorrt_rtx", "9.0", "torch-fp16"),
        ("", "8.9", "torch-fp16"),
    ],
)
def test_auto_is_tensorrt_on_a_gpu_that_the_installed_one_supports(
    monkeypatch, caplog, installed, capability, engine
) -> None:
    monkeypatch.setattr(catalog, "gpu_count", lambda: 1)
    monkeypatch.setattr(catalog, "gpus", lambda: [{"name": "a GPU", "compute_cap": capability}])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == installed or None)
    assert catalog.choose("auto") == engine
    reasons = [record.getMessage() for record in caplog.records]
    assert len(reasons) == (engine == "torch-fp16"), "a fall-back is explained, and nothing else is"
    assert all(capability in reason or "is installed" in reason for reason in reasons)


def test_an_engine_that_cannot_be_used_is_refused_with_a_cure(monkeypatch) -> None:
    monkeypatch.setattr(catalog, "gpu_count", lambda: 0)
    with pytest.raises(InputError, match="no engine 'tensorflow'; choose auto, tensorrt, "):
        catalog.choose("tensorflow")
    monkeypatch.setattr(OpenVinoEngine, "is_installed", lambda: False)
    with pytest.raises(InputError, match=r"openvino is not installed: run `.*pip install -r requirements\.txt`"):
        catalog.choose("openvino")
    monkeypatch.setattr(TensorRTEngine, "is_installed", lambda: True)
    with pytest.raises(InputError, match="tensorrt needs an NVIDIA GPU"):
        catalog.choose("tensorrt")


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "openvino-int8"])
def test_a_network_that_was_not_exported_for_an_engine_names_the_command_that_does_it(tmp_path, name) -> None:
    member = Member(Paths.under(tmp_path), "resnet34", 1)
    command = f"{member.export_command} --engine {name}"
    with pytest.raises(InputError, match=f"is missing, as resnet34 fold 1 was not exported.*: run `{command}`"):
        catalog.engine_class(name).load(member)
