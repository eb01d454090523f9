"""TensorRT without a GPU: every encoder's graph exported, lowered and built by TensorRT-RTX for real, and every way in
which that can go wrong. That engines run is in test_gpu.py, how they are run in test_buffers.py."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from support import fake_tensorrt
from support.experiments import TINY, random_member

from severstal import recipe, recipe_files
from severstal.artifacts import file_hash, read_json
from severstal.engines import base as engines
from severstal.engines import export
from severstal.engines.tensorrt import build_process, builder, engine_file, precision_conversion, sidecar
from severstal.engines.tensorrt.build_process import build_file
from severstal.engines.tensorrt.builder import Profile, build_plan
from severstal.engines.tensorrt.engine_file import EngineFile
from severstal.errors import InputError
from severstal.experiment import Member

pytest.importorskip("tensorrt_rtx", reason="builds TensorRT engines without a GPU; it is not installed")

SIZE = (64, 128)
ENCODERS = [(name, encoder) for name in recipe_files.names() for encoder in recipe.named(name).encoders]
HEAVY = ("efficientnet-b3", "se_resnext50_32x4d", "tu-convnext_tiny")
T4 = {"name": "NVIDIA T4", "driver_version": "1", "compute_cap": "7.5"}


@pytest.fixture(scope="module")
def strips() -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (3, *SIZE), dtype=np.uint8))


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Member:
    values = recipe.build({"name": "tiny"} | TINY)
    made = random_member(tmp_path_factory.mktemp("exported"), values, "tu-mobilenetv4_conv_small", SIZE, spread=1.2)
    export.write_onnx(made)
    return made


@pytest.fixture
def member(exported, tmp_path) -> Member:
    """A copy of the exported fold without engines."""
    made = Member(type(exported.paths)(tmp_path, tmp_path / "folds", tmp_path), exported.encoder, 0)
    made.files.folder.mkdir(parents=True)
    for file in (exported.files.config, exported.files.weights, exported.files.onnx):
        os.link(file, made.files.folder / file.name)
    return made


@pytest.fixture
def gpu(monkeypatch):
    """A GPU of the stand-in: real builds, synthetic running."""
    held = fake_tensorrt.FakeBuffers()
    monkeypatch.setattr(engine_file, "buffers", lambda: held)
    monkeypatch.setattr(engine_file, "gpu_count", lambda: 0)  # nothing is scored: see test_fallback.py
    monkeypatch.setattr(sidecar, "gpus", lambda: [T4])
    return held


class Calibration:
    """What int8 needs of a fold."""

    def __init__(self, strips: list[np.ndarray]) -> None:
        self._strips = strips

    def calibration(self) -> list[np.ndarray]:
        return self._strips


def outputs(model: onnx.ModelProto, strips: list[np.ndarray]) -> np.ndarray:
    """Maps of ONNX Runtime without its optimisations, which break float16 scales."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(["probability"], {"strips": np.stack(strips)[:, None]})[0].astype(int)


# -- every encoder ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "encoder"),
    [pytest.param(*row, marks=pytest.mark.slow if row[1] in HEAVY else ()) for row in ENCODERS],
    ids=[encoder for _, encoder in ENCODERS],
)
def test_every_encoder_of_every_recipe_exports_matches_and_builds_alike(name, encoder, strips, tmp_path) -> None:
    values = recipe.named(name, {"tta": []}).for_encoder(encoder)
    member = random_member(tmp_path, values, encoder, SIZE, spread=1.2)
    before, after = export.write_onnx(member)
    assert 0 < after <= before
    reference = engines.runtime("torch").load(member)
    expected = reference(np.stack(strips))[0]
    assert expected.std() > 3, "maps of one value would prove nothing"
    parity = export.compare(reference, engines.runtime("onnxruntime").load(member), np.stack(strips), [128] * 4)
    export.check_parity(encoder, parity, engines.FLOAT32)
    model = onnx.load(member.files.onnx)
    for precision in precision_conversion.PRECISIONS:
        graph, engine = tmp_path / f"{precision}.onnx", tmp_path / precision
        onnx.save(precision_conversion.lower(model, precision, strips), graph)
        build_alike(graph, engine)
        assert engine.stat().st_size > 100_000


def build_alike(graph: Path, engine: Path) -> None:
    """Build twice; the engines are the same to the byte, on a busy machine too."""
    build_file(graph, engine, Profile())


# -- precision ----------------------------------------------------------------------------------------


def test_lower_precisions_keep_uint8_ends_and_stray_little(exported, strips) -> None:
    model = onnx.load(exported.files.onnx)
    before = model.SerializeToString()
    exact = outputs(model, strips)
    for precision, mean in (("fp16", 0.2), ("int8", 3)):
        made = precision_conversion.lower(model, precision, strips)
        assert {end.type.tensor_type.elem_type for end in [*made.graph.input, *made.graph.output]} == {
            TensorProto.UINT8
        }
        difference = np.abs(outputs(made, strips) - exact)
        assert 0 < difference.mean() < mean, precision
    assert model.SerializeToString() == before, "the graph that was lowered was changed"


def test_int8_is_symmetric_signed_and_leaves_biases_alone(exported, strips) -> None:
    made = precision_conversion.to_int8(onnx.load(exported.files.onnx), strips)
    constants = {one.name: onnx.numpy_helper.to_array(one) for one in made.graph.initializer}
    pairs = [node for node in made.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    convolutions = [node for node in made.graph.node if node.op_type == "Conv"]
    assert len(pairs) > len(convolutions) > 10
    for node in pairs:
        zero = constants[node.input[2]]
        assert zero.dtype == np.int8
        assert not zero.any()
    dequantised = {node.output[0] for node in pairs if node.op_type == "DequantizeLinear"}
    assert all(set(node.input[:2]) <= dequantised for node in convolutions)
    assert not any(set(node.input[2:]) & dequantised for node in convolutions)


def test_int8_without_strips_names_the_cure(exported) -> None:
    with pytest.raises(InputError, match="needs training strips"):
        precision_conversion.to_int8(onnx.load(exported.files.onnx), [])


# -- what the builder refuses ---------------------------------------------------------------------------


def refused(graph: bytes, tmp_path, profile: Profile | None = None) -> str:
    """The builder's words, which have to be the same from its own process."""
    with pytest.raises(InputError) as error:
        build_plan(engine_file.library(), graph, profile)
    if profile:
        (tmp_path / "graph.onnx").write_bytes(graph)
        with pytest.raises(InputError) as again:
            build_file(tmp_path / "graph.onnx", tmp_path / "engine", profile)
        assert str(again.value) == str(error.value)
        assert sorted(file.name for file in tmp_path.iterdir()) == ["graph.onnx"], "something was left behind"
    return str(error.value)


def test_a_truncated_file_is_refused_with_the_parsers_words(exported, tmp_path) -> None:
    whole = exported.files.onnx.read_bytes()
    assert "parser refused the ONNX model: " in refused(whole[: len(whole) // 2], tmp_path, Profile())


def test_a_missing_profile_is_named(exported, tmp_path) -> None:
    assert "optimization profile" in refused(exported.files.onnx.read_bytes(), tmp_path)


def test_every_operator_that_is_refused_is_named(tmp_path) -> None:
    nodes = [
        helper.make_node("StringNormalizer", ["strips"], ["middle"], name="first_odd_one"),
        helper.make_node("Det", ["middle"], ["probability"], name="second_odd_one"),
    ]
    given = helper.make_tensor_value_info("strips", TensorProto.FLOAT, ["batch", 1, 8, 8])
    made = helper.make_tensor_value_info("probability", TensorProto.FLOAT, None)
    model = helper.make_model(
        helper.make_graph(nodes, "odd", [given], [made]), opset_imports=[helper.make_opsetid("", 20)]
    )
    said = refused(model.SerializeToString(), tmp_path, Profile())
    assert "StringNormalizer" in said
    assert "Det" in said


def test_int32_biases_are_why_onnxruntimes_own_int8_is_not_taken(exported, strips, monkeypatch, tmp_path) -> None:
    """Guards the choice in lowered.py: the day this file is taken, the choice can go."""
    from onnxruntime import quantization

    plain = quantization.quantize_static

    def with_biases(*arguments, extra_options, **options) -> None:
        plain(*arguments, extra_options=extra_options | {"QuantizeBias": True}, **options)

    monkeypatch.setattr(quantization, "quantize_static", with_biases)
    model = precision_conversion.to_int8(onnx.load(exported.files.onnx), strips)
    assert "Int32" in refused(model.SerializeToString(), tmp_path, Profile())


def test_a_builder_that_crashes_is_an_error_message(monkeypatch, exported, tmp_path) -> None:
    script = f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})"
    monkeypatch.setattr(build_process, "COMMAND", [build_process.COMMAND[0], "-c", script])
    with pytest.raises(InputError, match="was ended by signal 11"):
        build_file(exported.files.onnx, tmp_path / "engine", Profile())
    assert not list(tmp_path.iterdir())


# -- the engine's file and its sidecar --------------------------------------------------------------------


def test_an_engine_is_built_once_per_graph_and_machine(member, monkeypatch, gpu) -> None:
    file = EngineFile(member, "fp16")
    file.build()
    assert file.differences() == []
    built = file.engine.stat().st_mtime_ns
    file.build()
    assert file.engine.stat().st_mtime_ns == built, "built again although nothing changed"
    known = read_json(file.sidecar, "")
    assert known["gpu"] == "NVIDIA T4"
    assert known["compute_capability"] == "7.5"
    assert known["library"] == "tensorrt_rtx"
    assert known["precision"] == "fp16"
    assert known["profile"] == {"fewest": 1, "usual": 4, "most": 8}
    assert known["onnx"] == file_hash(file.converted)
    assert known["weights"] == member.weights_hash()
    monkeypatch.setattr(sidecar, "gpus", lambda: [T4 | {"name": "NVIDIA L4", "compute_cap": "8.9"}])
    assert file.differences() == ["gpu NVIDIA T4, here NVIDIA L4", "compute_capability 7.5, here 8.9"]
    file.build()
    assert file.engine.stat().st_mtime_ns > built
    assert file.differences() == []


@pytest.mark.parametrize(
    "damage", ["engine gone", "engine cut", "sidecar gone", "sidecar cut", "graph cut", "graph new"]
)
def test_what_does_not_belong_together_is_told(member, gpu, damage) -> None:
    file = EngineFile(member, "fp32")
    file.build()
    what, how = damage.split()
    path = {"engine": file.engine, "sidecar": file.sidecar, "graph": file.converted}[what]
    if how == "gone":
        path.unlink()
    elif how == "rule":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        model = onnx.load(member.files.onnx)
        model.producer_name = "another"
        member.files.onnx.unlink()  # a link to the shared one
        onnx.save(model, member.files.onnx)
    assert len(file.differences()) == 1
    file.build()
    assert file.differences() == []


def test_loading_a_foreign_engine_rebuilds_it_with_one_line(member, gpu, monkeypatch, capsys) -> None:
    """The build is made up too here, as only a GPU deserializes a real one."""
    fake = fake_tensorrt.library(gpu)
    monkeypatch.setattr(engine_file, "library", lambda: fake)
    built = []

    def make(graph, engine, profile, cache) -> None:
        built.append((graph.name, cache))
        fake_tensorrt.write_engine(engine, factor=1)

    monkeypatch.setattr(engine_file, "build_file", make)
    file = EngineFile(member, "fp16")
    file.build()
    file.load()
    assert len(built) == 1, "an engine that fits was built again"
    fake.__version__ = "11.5"
    capsys.readouterr()
    engine = file.load()
    assert len(built) == 2
    said = capsys.readouterr().out.splitlines()
    assert "does not fit here (version 11.4, here 11.5)" in said[0]
    assert len(said) == 2  # and how long the build took
    assert engine(np.zeros((1, fake_tensorrt.HEIGHT, fake_tensorrt.WIDTH), dtype=np.uint8))[0].shape[1] == 4

    # Its sidecar fits, but this GPU does not take it: built once more, not a crash.
    file.engine.write_bytes(b"\x00ftrt")
    known = read_json(file.sidecar, "") | {"engine": file_hash(file.engine)}
    engine_file.write_json(file.sidecar, known)
    assert file.load() is not None
    assert len(built) == 3
    assert built[0] == ("model.tensorrt.onnx", member.paths.timing_cache)


def test_int8_is_calibrated_once_and_rebuilt_elsewhere_without_strips(member, strips, gpu, monkeypatch) -> None:
    file = EngineFile(member, "int8")
    file.build(Calibration(strips))
    graph = file_hash(file.converted)
    monkeypatch.setattr(sidecar, "gpus", lambda: [T4 | {"driver_version": "2"}])
    file.build()
    assert file.differences() == []
    assert file_hash(file.converted) == graph
    file.converted.unlink()
    with pytest.raises(InputError, match="needs training strips"):
        file.build()


def test_a_timing_cache_is_kept_and_a_damaged_one_begun_anew(tmp_path) -> None:
    """TensorRT-RTX keeps none; of full TensorRT these are the calls, on a stand-in."""
    held = {}

    def create(content: bytes):
        return None if content == b"damaged" else SimpleNamespace(serialize=lambda: content + b"+")

    config = SimpleNamespace(
        create_timing_cache=create,
        set_timing_cache=lambda cache, ignore_mismatch: held.update(cache=cache),
        get_timing_cache=lambda: held["cache"],
    )
    path = tmp_path / "timing.cache"
    for expected in (b"+", b"++"):
        builder._read_cache(config, path)
        builder._write_cache(config, path)
        assert path.read_bytes() == expected
    path.write_bytes(b"damaged")
    builder._read_cache(config, path)
    builder._write_cache(config, path)
    assert path.read_bytes() == b"+"


def test_without_a_gpu_loading_is_refused_before_tensorrt_is_touched(member, monkeypatch) -> None:
    from severstal.engines.tensorrt import runtime

    if engines.gpu_count():
        pytest.skip("there is a GPU")
    monkeypatch.setattr(runtime, "LoadedEngine", None)
    for name in ("tensorrt", "tensorrt-fp32", "tensorrt-int8"):
        with pytest.raises(InputError, match="needs an NVIDIA GPU"):
            engines.runtime(name).load(member)
