"""What TensorRT's builder refuses, and how its process reports that. TensorRT-RTX builds for real, without a GPU."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from onnx import TensorProto, helper

from severstal.engines.base import BuildTimeout
from severstal.engines.tensorrt import build_process, builder
from severstal.engines.tensorrt.build_process import build_file
from severstal.engines.tensorrt.builder import Profile, build_plan
from severstal.engines.tensorrt.library import library
from severstal.errors import InputError

pytest.importorskip("tensorrt_rtx", reason="builds TensorRT engines without a GPU; it is not installed")


def refusal(model: bytes, profile: Profile | None) -> str:
    with pytest.raises(InputError) as error:
        build_plan(library(), model, profile)
    return str(error.value)


def test_a_truncated_file_is_refused_with_the_same_message_from_the_builders_process(member, tmp_path) -> None:
    content = member.files.onnx.read_bytes()
    truncated = tmp_path / "model.onnx"
    truncated.write_bytes(content[: len(content) // 2])
    message = refusal(truncated.read_bytes(), Profile())
    assert "parser refused the ONNX model: " in message
    with pytest.raises(InputError) as error:
        build_file(truncated, tmp_path / "engine", Profile())
    assert str(error.value) == message
    assert list(tmp_path.iterdir()) == [truncated], "something was left behind"


def test_the_builders_process_writes_an_engine(member, tmp_path) -> None:
    engine = tmp_path / "folder" / "engine"
    build_file(member.files.onnx, engine, Profile(1, 2, 3))
    assert engine.stat().st_size > 100_000
    assert list(engine.parent.iterdir()) == [engine]


@pytest.mark.parametrize(("capability", "asked"), [("7.5", ["SM75"]), ("8.9", [])])
def test_rtx_builds_for_turing_only_where_the_gpu_is_one(monkeypatch, member, capability, asked) -> None:
    monkeypatch.setattr(builder, "current_gpu", lambda: {"compute_cap": capability})
    targets: list[str] = []
    trt = library()

    class Builder(trt.Builder):
        def build_serialized_network(self, network, config):
            targets.extend(config.get_compute_capability(i).name for i in range(config.num_compute_capabilities))
            return super().build_serialized_network(network, config)

    monkeypatch.setattr(trt, "Builder", Builder)
    assert len(build_plan(trt, member.files.onnx.read_bytes(), Profile(1, 2, 3))) > 100_000
    assert targets == asked


def test_a_build_is_stopped_when_its_time_is_over(member, tmp_path) -> None:
    with pytest.raises(BuildTimeout, match="was stopped"):
        build_file(member.files.onnx, tmp_path / "engine", Profile(), seconds=0.01)
    assert list(tmp_path.iterdir()) == [], "something was left behind"


def test_a_missing_profile_is_named(member) -> None:
    assert "optimization profile" in refusal(member.files.onnx.read_bytes(), None)


def test_every_operator_that_is_refused_is_named() -> None:
    nodes = [
        helper.make_node("StringNormalizer", ["strips"], ["middle"], name="first"),
        helper.make_node("Det", ["middle"], ["probability"], name="second"),
    ]
    strips = helper.make_tensor_value_info("strips", TensorProto.FLOAT, ["batch", 1, 8, 8])
    output = helper.make_tensor_value_info("probability", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "unsupported", [strips], [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    message = refusal(model.SerializeToString(), Profile())
    assert "StringNormalizer" in message
    assert "Det" in message


def test_a_builder_that_crashes_is_an_error_message(monkeypatch, member, tmp_path) -> None:
    script = f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})"
    monkeypatch.setattr(build_process, "COMMAND", (sys.executable, "-c", script))
    with pytest.raises(InputError, match="was ended by signal 11"):
        build_file(member.files.onnx, tmp_path / "engine", Profile())
    assert not list(tmp_path.iterdir())


class FakeConfig:
    """Full TensorRT's calls around its timing cache; TensorRT-RTX keeps none."""

    def create_timing_cache(self, content: bytes) -> SimpleNamespace | None:
        return None if content == b"damaged" else SimpleNamespace(content=content, serialize=lambda: content + b"+")

    def set_timing_cache(self, cache: SimpleNamespace, ignore_mismatch: bool) -> bool:
        if cache.content == b"foreign" and not ignore_mismatch:
            return False
        self.cache = cache
        return True

    def get_timing_cache(self) -> SimpleNamespace:
        return self.cache


@pytest.mark.parametrize(
    ("before", "after"), [(None, b"+"), (b"+", b"++"), (b"damaged", b"+"), (b"foreign", b"+")], ids=str
)
def test_a_timing_cache_is_kept_and_a_damaged_or_foreign_one_is_started_over(tmp_path: Path, before, after) -> None:
    config, path = FakeConfig(), tmp_path / "timing.cache"
    if before:
        path.write_bytes(before)
    builder._read_timing_cache(config, path)
    builder._write_timing_cache(config, path)
    assert path.read_bytes() == after


def test_an_engine_computes_its_float32_layers_in_float32_not_tf32(member, monkeypatch) -> None:
    flags = []

    class Builder(library().Builder):
        def build_serialized_network(self, network, config) -> bytes:
            flags.append(config.get_flag(library().BuilderFlag.TF32))
            return b"plan"

    monkeypatch.setattr(library(), "Builder", Builder)
    build_plan(library(), member.files.onnx.read_bytes(), Profile())
    assert flags == [False]
