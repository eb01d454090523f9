"""Where files are: experiments in other folders, one folder per unit, names that cannot collide."""

from __future__ import annotations

from pathlib import Path

from severstal.paths import Paths, gpu_lock


def test_two_experiments_in_different_folders_share_no_file() -> None:
    first, second = Paths.under(Path("/first")), Paths.under(Path("/second"))
    for name in ("train_csv", "folds_csv", "postprocess", "submission", "report_page", "kaggle_dataset"):
        assert getattr(first, name) != getattr(second, name)


def test_deleting_a_folds_folder_deletes_everything_of_the_fold() -> None:
    files = Paths.under(Path("/run")).fold("resnet34", 3)
    everything = [files.config, files.checkpoint, files.log, files.tensorboard, files.weights, files.oof, files.onnx]
    everything += [files.engine("tensorrt"), files.converted_onnx("tensorrt"), files.openvino("openvino-int8")]
    everything += [files.sidecar("tensorrt"), files.build_record("tensorrt"), files.float32_layers("tensorrt")]
    assert {file.parent for file in everything} == {Path("/run/folds/resnet34/3")}
    assert len(set(everything)) == len(everything)


def test_every_json_file_of_an_engine_is_among_the_sidecars(tmp_path) -> None:
    files = Paths.under(tmp_path).fold("resnet34", 0)
    files.folder.mkdir(parents=True)
    expected = [files.sidecar("tensorrt"), files.build_record("tensorrt"), files.float32_layers("tensorrt")]
    for file in (*expected, files.config, files.onnx):
        file.touch()
    assert files.sidecars() == sorted(expected)


def test_overlays_are_named_after_their_strips() -> None:
    inspected = Paths.under(Path("/run")).inspected
    assert inspected.overlay("0002cc93b.jpg") == Path("/run/submissions/inspected/0002cc93b_defects.jpg")


def test_each_gpu_has_a_lock_of_its_own() -> None:
    locks = [gpu_lock(uuid, Path("/locks")) for uuid in ("GPU-1", "GPU-2", "MIG-GPU-1/2/0")]
    assert len(set(locks)) == 3
    assert {lock.parent for lock in locks} == {Path("/locks")}
