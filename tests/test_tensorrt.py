"""TensorRT without a GPU: engines built for real by TensorRT-RTX, and the running of ensembles on emulated memory."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from conftest import SIZE

from severstal import engines, prediction
from severstal.engines import tensorrt_engine
from severstal.engines.tensorrt import sidecar
from severstal.engines.tensorrt.builder import Profile, build_plan
from severstal.engines.tensorrt.precision import to_int8
from severstal.engines.tensorrt.running import PLAIN_BATCHES, GpuEnsemble
from severstal.errors import InputError
from severstal.graph import INPUT, OUTPUTS


@pytest.fixture
def rtx():
    return pytest.importorskip("tensorrt_rtx", reason="builds TensorRT engines without a GPU; it is not installed")


def noise(count: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, *size), dtype=np.uint8))


# -- building --------------------------------------------------------------------------------------


def test_int8_is_symmetric_and_spares_biases(member) -> None:
    model = to_int8(onnx.load(member.files.onnx), noise(4))
    zeros = [onnx.numpy_helper.to_array(i) for i in model.graph.initializer if i.name.endswith("zero_point")]
    assert zeros
    assert all(zero.dtype == np.int8 and not zero.any() for zero in zeros)
    quantised = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert sum(node.input[1] in quantised for node in convolutions) > 0.8 * len(convolutions)
    assert not any(node.input[2] in quantised for node in convolutions if len(node.input) > 2)


@pytest.mark.slow
def test_two_builds_hold_the_same_weights_and_timings_are_kept(member, tmp_path, rtx) -> None:
    """Not the same bytes: TensorRT-RTX 1.7.1 lays out a few hundred kilobytes anew in every build."""
    model, cache = onnx.load(member.files.onnx).SerializeToString(), tmp_path / "timing.cache"
    first, second = (build_plan(rtx, model, Profile(), cache, "build") for _ in range(2))
    assert abs(len(first) - len(second)) < 1024
    assert first[-100_000:] == second[-100_000:]
    assert cache.exists()


def test_errors_of_a_build_name_their_cause(member, tmp_path, rtx) -> None:
    whole = member.files.onnx.read_bytes()
    with pytest.raises(InputError, match="parser refused the ONNX model"):
        build_plan(rtx, whole[: len(whole) // 2], Profile())
    with pytest.raises(InputError, match=r"built no engine.*profile"):
        build_plan(rtx, whole, None)
    strange = onnx.load(member.files.onnx)
    next(node for node in strange.graph.node if node.op_type == "Conv").op_type = "Entangle"
    with pytest.raises(InputError, match=r"parser refused.*Entangle"):
        build_plan(rtx, strange.SerializeToString(), Profile())


def test_an_engine_of_another_machine_is_rebuilt_with_a_line_of_notice(member, monkeypatch, capsys, rtx) -> None:
    monkeypatch.setattr(tensorrt_engine, "library", lambda: rtx)
    tensorrt_engine.build(member)
    plan, side = member.files.engine("tensorrt"), member.files.sidecar("tensorrt-build")
    first = plan.stat().st_mtime_ns
    tensorrt_engine.build(member)
    tensorrt_engine.prepare(member)
    assert plan.stat().st_mtime_ns == first, "built again although nothing changed"
    assert not capsys.readouterr().out
    other = {"name": "NVIDIA T4", "driver_version": "1", "compute_cap": "7.5"}
    monkeypatch.setattr(sidecar, "gpus", lambda: [other])
    tensorrt_engine.prepare(member)
    assert plan.stat().st_mtime_ns > first
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "building the engine for this machine" in said
    assert "NVIDIA T4" in side.read_text()


def test_without_a_gpu_no_runtime_is_made(member, monkeypatch) -> None:
    monkeypatch.setattr(tensorrt_engine, "gpu_count", lambda: 0)
    with pytest.raises(InputError, match="needs an NVIDIA GPU"):
        tensorrt_engine.load(member)


def test_a_precision_that_is_not_there_is_named(monkeypatch) -> None:
    monkeypatch.setenv("SEVERSTAL_TENSORRT_PRECISION", "fp8")
    with pytest.raises(InputError, match="it takes fp32, fp16, int8"):
        engines.precision("tensorrt")
    monkeypatch.setenv("SEVERSTAL_TENSORRT_PRECISION", "int8")
    assert [engines.precision(name) for name in ("tensorrt", "openvino-int8", "torch-fp16", "torch")] == [
        "int8", "int8", "fp16", "fp32",
    ]  # fmt: skip


# -- running, on emulated memory -------------------------------------------------------------------


class Memory:
    """The buffers' calls in NumPy; addresses are names of arrays."""

    handle = 7

    def __init__(self) -> None:
        self.at: dict[int, np.ndarray] = {}
        self.captures = self.replays = 0

    def device(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        made = np.full(shape, 99, dtype=dtype)  # memory comes dirty
        self.at[id(made)] = made
        return made

    def host(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.full(shape, 77, dtype=np.uint8)

    def pointer(self, buffer: np.ndarray) -> int:
        return id(buffer)

    def upload(self, buffer: np.ndarray, host: np.ndarray) -> None:
        buffer[: len(host)] = host

    def download(self, host: np.ndarray, buffer: np.ndarray) -> None:
        host[:] = buffer[: len(host)]

    def fill(self, total: np.ndarray, value: int) -> None:
        total[:] = value

    def add(self, total: np.ndarray, maps: np.ndarray, weight: int) -> None:
        total += weight * maps.astype(np.int32)

    def divide(self, out: np.ndarray, total: np.ndarray, divisor: int) -> None:
        out[:] = total // divisor

    def capture(self, work):
        self.captures += 1

        def replay() -> None:
            self.replays += 1
            work()

        return replay

    def synchronize(self) -> None:
        pass


class FakeSession:
    """An engine whose maps are the strip, moved; it writes to the addresses it was bound to."""

    def __init__(self, memory: Memory, shift: int) -> None:
        self.shape, self._memory, self._shift, self.batches = (1, 16, 24), memory, shift, []

    def bind(self, addresses: dict[str, int]) -> None:
        self._tensors = {name: self._memory.at[address] for name, address in addresses.items()}
        assert set(self._tensors) == {INPUT, *OUTPUTS}

    def enqueue(self, batch: int) -> None:
        self.batches.append(batch)
        maps, presence = host_engine(self._shift)(self._tensors[INPUT][:batch, 0])
        self._tensors[OUTPUTS[0]][:batch], self._tensors[OUTPUTS[1]][:batch] = maps, presence


def host_engine(shift: int):
    def call(strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        maps = np.stack([np.roll(strips, shift + c, axis=2) for c in range(4)], axis=1)
        return maps, maps.max(axis=(2, 3))

    return call


@pytest.mark.parametrize("weights", [[1, 1, 1], [3, 1, 2], [1, 4, 1]])
def test_the_gpus_mean_is_the_hosts_bit_for_bit_whatever_the_batch(weights) -> None:
    memory = Memory()
    sessions = [FakeSession(memory, shift) for shift in range(3)]
    gpu = GpuEnsemble(sessions, weights, 4, memory)
    host = prediction.Ensemble([host_engine(shift) for shift in range(3)], weights)
    rng = np.random.default_rng(0)
    for count in (4, 4, 1, 4, 9, 3, 4, 8):
        strips = rng.integers(0, 256, (count, 16, 24), dtype=np.uint8)
        assert np.array_equal(gpu(strips), host(strips))
    assert gpu.strips == host.strips == 37
    assert memory.captures == 1
    assert memory.replays > 3
    assert (gpu.seconds > 0).all()
    gpu.keep([0, 2])
    host.keep([0, 2])
    strips = rng.integers(0, 256, (4, 16, 24), dtype=np.uint8)
    assert np.array_equal(gpu(strips), host(strips))
    assert memory.captures == 2, "a graph with a member that was left out would run it still"


def test_a_graph_is_captured_only_after_plain_runs() -> None:
    memory = Memory()
    gpu = GpuEnsemble([FakeSession(memory, 0)], [1], 4, memory)
    strips = np.zeros((4, 16, 24), dtype=np.uint8)
    for _ in range(PLAIN_BATCHES):
        gpu(strips)
    assert not memory.captures
    gpu(strips)
    assert memory.captures == 1


def test_one_member_has_the_interface_of_every_engine() -> None:
    memory = Memory()
    engine = tensorrt_engine.TensorRTEngine(GpuEnsemble([FakeSession(memory, 2)], [1], 8, memory))
    strips = np.random.default_rng(0).integers(0, 256, (11, 16, 24), dtype=np.uint8)
    for got, expected in zip(engine(strips), host_engine(2)(strips), strict=True):
        assert np.array_equal(got, expected)
