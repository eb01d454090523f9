"""Bad input: each ends in an error that names the file, the place and the cure; exit code 2; nothing half-written."""

from __future__ import annotations

import errno
import pickle
import resource
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support.commands import ROOT, arguments_of
from support.experiments import write_tiny_strips

from severstal import recipe
from severstal.artifacts import replacing, write_json
from severstal.data import out_of_fold, split
from severstal.data.training_set import read_training_set
from severstal.engines import onnx_file
from severstal.errors import InputError
from severstal.experiment import Member, select
from severstal.inference import submission
from severstal.models import weights
from severstal.postprocess import tuned_values
from severstal.training import checkpoint
from severstal.training.job import Job

ENCODER = "tu-mobilenetv4_conv_small"
ZERO = f"{0:09x}.jpg"


def stage(name: str, *arguments: object, **options) -> subprocess.CompletedProcess[str]:
    """A stage's process that must end with code 2 and a message, not a traceback."""
    command = [sys.executable, str(ROOT / "src" / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def ends(tiny, monkeypatch, capsys) -> Callable[..., str]:
    """Runs a stage in this process: it must end with code 2, leave every file as it was, and add none."""

    def run(name: str, *arguments: object) -> str:
        before = contents(tiny.input.parent)
        monkeypatch.setattr(sys, "argv", [name, *arguments_of(tiny), *map(str, arguments)])
        with pytest.raises(SystemExit) as left:  # anything else would be a traceback
            runpy.run_path(str(ROOT / "src" / f"{name}.py"), run_name="__main__")
        assert left.value.code == 2
        assert contents(tiny.input.parent) == before
        return capsys.readouterr().err

    return run


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """A limit on the size of files fails as a full disk does: in the middle of a write. Python ignores SIGXFSZ."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# -- recipe, split, names --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": "0"}, "epochs"),
        ({"epochs": "many"}, "epochs"),
        ({"amp": "fp8"}, "amp"),
        ({"class_sampling": ["1", "2"]}, "class_sampling"),
        ({"epoch": 3}, "epoch"),
        ({"seed": "-1"}, "seed"),
        ({"seed": "99999999999999999999"}, "seed"),
        ({"learning_rate": "inf"}, "learning_rate"),
        ({"tta": ["diagonal"]}, "tta"),
        ({"encoders": {}}, "name at least one"),
        ({"encoders": {"resnet18": {"epoch": 3}}}, "resnet18 cannot set epoch"),
    ],
)
def test_a_wrong_value_is_named(values, message) -> None:
    with pytest.raises(InputError, match=message):
        recipe.named("sample", values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "sam', "no valid JSON"),
        ("[]", "no JSON object"),
        ("{}", "encoders: Field required"),
        ('{"name": "a", "encoders": {"resnet18": {}}, "epochs": 0}', "epochs: "),
    ],
)
def test_a_damaged_recipe_names_its_file_and_command(tmp_path, text, message) -> None:
    (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(InputError, match=rf"{message}.*delete it and run `bash bin/make_folds\.sh`") as error:
        recipe.read(tmp_path / "recipe.json")
    assert str(tmp_path / "recipe.json") in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--epoch", 3], "unrecognized arguments: --epoch"),
        (["train", "--epochs", 0], "epochs: Input should be greater"),
        (["train", "--epochs", "many"], "epochs: Input should be a valid integer"),
        (["train", "--amp", "fp8"], "amp: Input should be 'auto'"),
        (["train", "--class-sampling", "1,2"], "class_shares: Tuple should have at least 5 items"),
        (["train", "resnet43", 0], "did you mean"),
        (["train", "resnet34", 0], "bash bin/make_folds.sh --encoders"),
        (["train", ENCODER, 2], "no fold 2: folds.csv has 0 to 1"),
        (["train", ENCODER, "first"], "invalid int value: 'first'"),
        (["make_folds", "--recipe", "kagle"], "there are sample, cpu-quick, cpu, kaggle"),
        (["make_folds", "--encoders", "resnet43"], "did you mean"),
        (["make_folds", "--encoders", ""], "no encoder is called ''"),
        (["make_folds", "--encoders", "{"], "--encoders is no valid JSON"),
        (["make_folds", "--num-folds", 3], "has 2 folds (0 to 1) and the recipe asks for 3"),
        (["export", "--engine", "onnx"], "there are auto, tensorrt"),
        (["predict", "--images", "/nowhere"], "/nowhere is no folder"),
        (["submit"], "is no folder"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_a_wrong_command_line_changes_nothing(ends, arguments, message) -> None:
    assert message in ends(*arguments)


@pytest.mark.parametrize("name", ["train", "tune"])
def test_a_split_of_another_number_of_folds_stops_the_stage(tiny, ends, name) -> None:
    tiny.folds_csv.write_text(tiny.folds_csv.read_text().replace(",1,", ",2,", 1))
    message = ends(name)
    assert f"{tiny.folds_csv} has 3 folds (0 to 2) and the recipe asks for 2" in message


def test_an_unknown_recipe_names_the_known() -> None:
    with pytest.raises(InputError, match="sample, cpu-quick, cpu, kaggle"):
        recipe.named("kagle", {})


def test_a_fold_or_encoder_that_is_not_there(tiny) -> None:
    chosen = recipe.read(tiny.recipe)
    with pytest.raises(InputError, match=r"no fold 2: folds.csv has 0 to 1"):
        select([], chosen, None, 2)
    with pytest.raises(InputError, match=r"bash bin/make_folds.sh --encoders"):
        select([], chosen, "resnet34", None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("fold,", "group,", 1), "cannot be read|columns must be"),
        (lambda text: text + text.splitlines()[1] + "\n", "stands there twice"),
        (lambda text: "\n".join(text.splitlines()[:-1]) + "\n", "lacks"),
        (lambda text: text.replace(ZERO, "other.jpg"), "lacks|names other.jpg"),
        (lambda text: text.replace(",0,", ",x,", 1), "cannot be read"),
    ],
)
def test_a_split_that_is_not_of_these_strips(tiny, change, message) -> None:
    tiny.folds_csv.write_text(change(tiny.folds_csv.read_text()))
    with pytest.raises(InputError, match=message) as error:
        read_training_set(tiny)
    assert str(tiny.folds_csv) in str(error.value)


def test_files_that_are_missing_name_their_command(tiny) -> None:
    for call, command in (
        (lambda: recipe.read(tiny.folds / "none.json"), "bash bin/make_folds.sh"),
        (lambda: split.read(tiny.folds / "none.csv"), "bash bin/make_folds.sh"),
        (lambda: tuned_values.read(tiny.postprocess), "bash bin/tune.sh"),
        (lambda: Member(tiny, ENCODER, 0).config(), f"bash bin/train.sh {ENCODER} 0"),
        (lambda: Member(tiny, ENCODER, 0).weights_hash(), f"bash bin/train.sh {ENCODER} 0"),
        (lambda: onnx_file.read_identity(Member(tiny, ENCODER, 0)), f"bash bin/export.sh {ENCODER} 0"),
    ):
        with pytest.raises(InputError, match=command):
            call()


# -- files of a fold -------------------------------------------------------------------------------


@pytest.fixture
def trained(tiny) -> Job:
    """Both folds with the files of a training that never was; the first one's job."""
    data, chosen = read_training_set(tiny), recipe.read(tiny.recipe)
    jobs = [Job.of(Member(tiny, ENCODER, fold), data, chosen, {}) for fold in range(chosen.num_folds)]
    for job in jobs:
        files = job.member.files
        write_json(files.config, job._config().model_dump())
        weights.save(files.weights, {"layer": torch.zeros(100)}, {"fingerprint": job.fingerprint})
        out_of_fold.write(files.oof, maps_of(job), job._oof_meta())
        assert job.is_finished()
    return jobs[0]


NOTHING = np.zeros(4, dtype=np.uint8)  # of presence


def maps_of(job: Job) -> list[tuple[str, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    images = job.data.images(job.member.fold, held_out=True)
    return [(image, rng.integers(0, 255, (4, 64, 96), dtype=np.uint8), NOTHING) for image in images]


def rule(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_files_cut_short_are_told_from_whole_ones(trained) -> None:
    files, member = trained.member.files, trained.member
    for file, read in (
        (files.weights, lambda: weights.read_metadata(files.weights, member.remake)),
        (files.oof, lambda: out_of_fold.FoldMaps(files.oof, member.remake)),
        (files.config, member.config),
    ):
        rule(file)
        with pytest.raises(InputError, match=f"delete.*{member.remake}") as error:
            read()
        assert str(file) in str(error.value)
    write_json(files.config, {"encoder": ENCODER})
    with pytest.raises(InputError, match="no configuration of this version"):
        member.config()


def test_a_bit_that_fell_over_in_a_store_is_told(tmp_path) -> None:
    file, noise = tmp_path / "oof.npz", np.random.default_rng(0).integers(0, 255, (4, 32, 32), dtype=np.uint8)
    out_of_fold.write(file, [("a.jpg", noise, NOTHING)], {})
    whole = file.read_bytes()
    for place in range(100, 3000, 100):  # all within the strip's data
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with pytest.raises(InputError, match=r"a\.jpg.*delete the file and run `train`"):
            out_of_fold.FoldMaps(file, "train")["a.jpg"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda job: out_of_fold.write(job.member.files.oof, maps_of(job)[1:], job._oof_meta()),
            "and fold 0 differ in",
        ),
        (
            lambda job: weights.save(job.member.files.weights, {"layer": torch.ones(1)}, {}),
            "is not of the weights beside it",
        ),
        (
            lambda job: out_of_fold.write(job.member.files.oof, maps_of(job), job._oof_meta() | {"tta": ["both"]}),
            "was predicted with other test-time augmentation",
        ),
        (
            lambda job: out_of_fold.write(job.member.files.oof, [*maps_of(job), maps_of(job)[0]], job._oof_meta()),
            "twice",
        ),
        (lambda job: job.member.files.oof.unlink(), "is missing"),
        (lambda job: rule(job.member.files.oof), "is damaged"),
    ],
    ids=["lacks a strip", "of other weights", "of other flips", "a strip twice", "missing", "cut short"],
)
def test_tuning_takes_no_other_maps(trained, ends, change, message) -> None:
    change(trained)
    told = ends("tune")
    assert message in told
    assert str(trained.member.files.oof) in told
    assert trained.member.remake in told


TUNED = {
    "members": {}, "ensemble_weights": {}, "intervals": {}, "strips": 1,
    "rules": [{"rule": "component_area", "threshold": 128, "min_area": 0}] * 4,
    "scores": {name: dict.fromkeys(("mean", "1", "2", "3", "4"), 0.5) for name in tuned_values.SCORES},
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rules": TUNED["rules"][:3]}, "rules"),
        (
            {"rules": [TUNED["rules"][0] | {"threshold": 0}, *TUNED["rules"][1:]]},
            r"rules\.0\.component_area\.threshold",
        ),
        (
            {"rules": [TUNED["rules"][0] | {"threshold": 256}, *TUNED["rules"][1:]]},
            r"rules\.0\.component_area\.threshold",
        ),
        ({"rules": [*TUNED["rules"][1:], TUNED["rules"][0] | {"min_area": -1}]}, r"rules\.3\.component_area\.min_area"),
        (
            {"rules": [*TUNED["rules"][1:], {"rule": "mask_area", "threshold": 9, "min_area": 1, "high_threshold": 8}]},
            r"rules\.3\.mask_area\.high_threshold",
        ),
        ({"ensemble_weights": {"resnet34": -1}}, r"ensemble_weights\.resnet34"),
        ({"scores": {"nested": {}}}, "scores.*must hold all_empty"),
        ({"treshold": 1}, "treshold"),
    ],
)
def test_wrong_tuned_values_are_named(tmp_path, change, message) -> None:
    file = tmp_path / "postprocess.json"
    write_json(file, TUNED)
    assert tuned_values.read(file).strips == 1
    write_json(file, TUNED | change)
    with pytest.raises(InputError, match=rf"postprocess\.json: {message}.*run `bash bin/tune\.sh`"):
        tuned_values.read(file)
    rule(file)
    with pytest.raises(InputError, match=r"no valid JSON.*run `bash bin/tune\.sh`"):
        tuned_values.read(file)


def test_an_onnx_file_that_is_cut_short_or_of_other_weights(trained, ends) -> None:
    member, paths = trained.member, trained.member.paths
    node = onnx.helper.make_node("Identity", ["strips"], ["probability"])
    value = [onnx.helper.make_tensor_value_info(name, 2, [1]) for name in ("strips", "probability")]
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", value[:1], value[1:]))
    onnx.helper.set_model_props(model, onnx_file.identity(member))
    onnx.save(model, member.files.onnx)
    onnx_file.check_identity(member)
    whole = member.files.onnx.read_bytes()
    for size in range(len(whole)):
        member.files.onnx.write_bytes(whole[:size])
        with pytest.raises(InputError, match=f"run `bash bin/export.sh {ENCODER} 0`"):
            onnx_file.check_identity(member)
    member.files.onnx.write_bytes(whole)
    weights.save(member.files.weights, {"layer": torch.ones(1)}, {})
    with pytest.raises(InputError, match=r"belongs to another configuration \(weights"):
        onnx_file.check_identity(member)
    write_tiny_strips(paths.test_images, 1)
    write_json(paths.postprocess, TUNED)
    assert f"{ENCODER} fold 0 was trained after tuning: run `bash bin/tune.sh`" in ends("predict")
    write_json(paths.postprocess, TUNED | {"members": {member.name: member.weights_hash()}})
    assert "belongs to another configuration (weights" in ends("predict")
    member.files.onnx.unlink()
    assert f"{member.files.onnx} is missing" in ends("predict")


def test_a_store_that_lacks_a_strip_or_has_one_twice(tmp_path) -> None:
    one = np.zeros((4, 2, 2), dtype=np.uint8)
    out_of_fold.write(tmp_path / "oof.npz", [("a.jpg", one, NOTHING)], {})
    with pytest.raises(InputError, match=r"lacks b\.jpg.*run `train`"):
        out_of_fold.FoldMaps(tmp_path / "oof.npz", "train")["b.jpg"]
    with pytest.warns(UserWarning, match="Duplicate name"):
        out_of_fold.write(tmp_path / "oof.npz", [("a.jpg", one, NOTHING)] * 2, {})
    with pytest.raises(InputError, match="twice"):
        out_of_fold.FoldMaps(tmp_path / "oof.npz", "train")


def test_weights_of_another_network_are_refused(trained) -> None:
    weights.save(trained.member.files.weights, {"layer": torch.zeros(1)}, {})
    with pytest.raises(InputError, match="does not fit the network"):
        weights.load(trained.member.files.weights, torch.nn.Linear(1, 1), "bash bin/train.sh")


class Harm:
    def __reduce__(self):
        return (print, ("code of the checkpoint ran",))


def test_a_checkpoint_runs_no_code(tmp_path, capsys) -> None:
    file = tmp_path / "checkpoint.pt"
    torch.save({"fingerprint": Harm()}, file)
    with pytest.raises(InputError, match="is damaged"):
        checkpoint.load(file, tmp_path, "bash bin/train.sh")
    file.write_bytes(pickle.dumps(Harm()))
    with pytest.raises(InputError, match="is damaged"):
        checkpoint.load(file, tmp_path, "bash bin/train.sh")
    assert "ran" not in capsys.readouterr().out


def test_a_checkpoint_that_is_cut_short_or_none_at_all(tmp_path) -> None:
    file = tmp_path / "checkpoint.pt"
    checkpoint.save(file, {"fingerprint": "f", "weights": torch.zeros(1000)})
    assert checkpoint.load(file, tmp_path, "train")["fingerprint"] == "f"
    whole = file.read_bytes()
    torch.save(torch.zeros(3), file)
    texts = (b"", b"text", b"no checkpoint", b"\x80\x02}q.", b".", file.read_bytes())
    for content in (*texts, *(whole[:size] for size in range(0, len(whole), 97))):
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"checkpoint\.pt is damaged .*: delete .* and run `train`"):
            checkpoint.load(file, tmp_path, "train")


def test_a_checkpoint_of_another_configuration_is_refused(trained) -> None:
    files = trained.member.files
    files.weights.unlink()
    checkpoint.save(files.checkpoint, {"fingerprint": "another"})
    with pytest.raises(InputError, match="another configuration"):
        trained.run()


# -- submissions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: ["ImageId,ClassId,EncodedPixels", *lines[1:]], "line 1: the header"),
        (lambda lines: lines[:-1], r"no row for image b.jpg, class 4 .*bash bin/predict\.sh"),
        (lambda lines: [*lines, "c.jpg,,1"], "line 10: 'c.jpg' is not a strip"),
        (lambda lines: [*lines, lines[-1]], "line 10.*twice"),
        (lambda lines: [*lines[:-1], "b.jpg,1 3 2 2,4"], "line 9.*overlaps"),
        (lambda lines: [*lines[:-1], "b.jpg,,0"], "line 9: class '0'"),
    ],
)
def test_a_wrong_submission_is_refused_with_its_line(tmp_path, change, message) -> None:
    file, form = tmp_path / "submission.csv", submission.Form(["a.jpg", "b.jpg"], submission.DEFAULT_COLUMNS)
    submission.write(file, form, {"a.jpg": ["1 2", "", "", ""], "b.jpg": ["", "", "", ""]})
    submission.check(file, form, 4, 5)
    file.write_text("\n".join(change(file.read_text().splitlines())) + "\n")
    with pytest.raises(InputError, match=message):
        submission.check(file, form, 4, 5)


def test_a_submission_that_is_not_there_or_wrong_is_not_uploaded(tiny, ends) -> None:
    write_tiny_strips(tiny.test_images, 2)
    assert f"{tiny.submission} is missing: make it with `bash bin/predict.sh`" in ends("submit", "--dry-run")
    tiny.submissions.mkdir()
    tiny.submission.write_text(f"ImageId,EncodedPixels,ClassId\n{ZERO},1 2 2 2,1\n")
    assert f"{tiny.submission} has no row for image {ZERO}, class 2 (7 such rows)" in ends("submit", "--dry-run")


def test_test_strips_and_sample_must_be_the_same(tiny) -> None:
    write_tiny_strips(tiny.test_images, 2)
    tiny.sample_submission.write_text(f"ImageId,EncodedPixels,ClassId\n{ZERO},1 1,0\n")
    with pytest.raises(InputError, match=r"is not in .*sample_submission"):
        submission.form_of(tiny)
    tiny.sample_submission.write_text(
        f"ImageId,EncodedPixels,ClassId\n{ZERO},1 1,0\n{1:09x}.jpg,1 1,0\ngone.jpg,1 1,0\n"
    )
    with pytest.raises(InputError, match=r"line 4: 'gone\.jpg' is not in"):
        submission.form_of(tiny)


# -- whole stages ----------------------------------------------------------------------------------


def test_stages_end_with_code_2_and_a_message(tiny, tmp_path) -> None:
    nowhere = tmp_path / "nowhere"
    assert str(nowhere) in stage("make_folds", f"--input={nowhere}", f"--folds={tmp_path / 'f'}").stderr
    assert not (tmp_path / "f").exists()
    assert "--epoch" in stage("train", *arguments_of(tiny), "--epoch", 3).stderr
    assert "bash bin/train.sh" in stage("tune", *arguments_of(tiny)).stderr
    assert "bash bin/tune.sh" in stage("export", *arguments_of(tiny)).stderr


def test_a_damaged_strip_stops_the_split_and_nothing_is_written(tiny) -> None:
    tiny.folds_csv.unlink()
    rule(tiny.train_images / ZERO)
    assert f"{ZERO} is cut short" in stage("make_folds", *arguments_of(tiny)).stderr
    assert not tiny.folds_csv.exists()


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    with pytest.raises(OSError, match="No space"), replacing(file) as temporary:
        temporary.write_text("ne")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "write",
    [
        lambda file: write_json(file, {"numbers": list(range(5000))}),
        lambda file: weights.save(file, {"layer": torch.zeros(10_000)}, {}),
        lambda file: checkpoint.save(file, {"layer": torch.zeros(10_000)}),
    ],
    ids=["JSON", "weights", "checkpoint"],
)
def test_a_write_that_fails_names_its_file_and_keeps_the_old_one(tmp_path, write) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    with pytest.raises((InputError, OSError)) as error, files_up_to(5000):
        write(file)
    assert str(file) in str(error.value)
    assert contents(tmp_path) == {file: b"old"}


def test_a_stage_on_a_full_disk_ends_with_a_message(tiny) -> None:
    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    tiny.folds_csv.unlink()
    done = stage("make_folds", *arguments_of(tiny), preexec_fn=limited)
    assert f"error: {tiny.folds_csv}: File too large" in done.stderr
    assert not tiny.folds_csv.exists()
    assert {file.name for file in tiny.folds.iterdir()} == {"recipe.json"}
