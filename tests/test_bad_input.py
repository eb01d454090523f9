"""Bad input: each ends in an error that names the file, the place and the cure; exit code 2; nothing half-written."""

from __future__ import annotations

import errno
import pickle
import resource
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT, arguments_of, write_tiny_strips

from severstal import checkpoint, folds, labels, onnx_file, oof, postprocess, recipe, strips, submission, weights
from severstal.artifacts import replacing, write_json
from severstal.data import read_training_set
from severstal.errors import InputError
from severstal.job import Job
from severstal.member import Member, select
from severstal.network import check_encoder

ENCODER = "tu-mobilenetv4_conv_small"
ZERO = f"{0:09x}.jpg"
HEADER = "ImageId,ClassId,EncodedPixels\n"


def stage(name: str, *arguments: object, **options) -> subprocess.CompletedProcess[str]:
    """A stage's process that must end with code 2 and a message, not a traceback."""
    command = [sys.executable, str(ROOT / "src" / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


# -- strips ----------------------------------------------------------------------------------------


def jpeg() -> bytes:
    return cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (64, 96), dtype=np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (jpeg()[: len(jpeg()) * 6 // 10], "is cut short"),
        (jpeg()[:-2], "is cut short"),
        (cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes(), "is no JPEG"),
        (b"no image", "is no JPEG"),
        (jpeg()[:300] + jpeg()[-2:], "is cut short|cannot be decoded"),
    ],
    ids=["zero bytes", "cut at 60 %", "cut by two bytes", "PNG", "text", "no scan"],
)
def test_a_damaged_strip_is_named(tmp_path, content, message) -> None:
    file = tmp_path / "strip.jpg"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        strips.read(file)
    assert str(file) in str(error.value)


def test_a_whole_strip_is_read(tmp_path) -> None:
    (tmp_path / "strip.jpg").write_bytes(jpeg())
    assert strips.read_sized(tmp_path / "strip.jpg", 64, 96).shape == (64, 96)
    with pytest.raises(InputError, match="64x96 pixels"):
        strips.read_sized(tmp_path / "strip.jpg", 256, 1600)


def test_folders_without_strips(tmp_path) -> None:
    with pytest.raises(InputError, match="is no folder"):
        strips.listing(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no"):
        strips.listing(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.png is no JPEG"):
        strips.listing(tmp_path)


# -- labels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "a.jpg,1,1 2 3\n", "line 2.*3 numbers"),
        (HEADER + "a.jpg,1,1 2\nb.jpg,1,1 x\n", "line 3.*'x'"),
        (HEADER + "a.jpg,1,1.5 3\n", "line 2.*'1.5'"),
        (HEADER + "a.jpg,1,99999999999999999999 3\n", "line 2.*not a whole number"),
        (HEADER + "a.jpg,1,0 3\n", "line 2.*count from 1"),
        (HEADER + "a.jpg,1,5 -3\n", "line 2.*count from 1"),
        (HEADER + "a.jpg,1,19 3\n", "line 2.*beyond the last pixel of a 4x5"),
        (HEADER + "a.jpg,1,9 2 3 2\n", "line 2.*out of order"),
        (HEADER + "a.jpg,1,3 4 5 2\n", "line 2.*overlaps"),
        (HEADER + "a.jpg,5,1 2\n", "line 2: class '5'"),
        (HEADER + "a.jpg,0,1 2\n", "line 2: class '0'"),
        (HEADER + "a.jpg,,1 2\n", "line 2: class ''"),
        (HEADER + "a.jpg,1,1 2\na.jpg,1,5 2\n", "line 3.*stands in line 2 already"),
        (HEADER + "c.jpg,1,1 2\n", "line 2: 'c.jpg' is not among the images"),
        ("Image,Class,Pixels\n", "line 1: the header is 'Image,Class,Pixels'"),
        ("ImageId_ClassId,EncodedPixels\na.jpg_7,\n", "line 2: class '7'"),
        ("ImageId_ClassId,EncodedPixels\na.jpg,\n", "line 2: class 'a.jpg'"),
        (HEADER + "a.jpg,1,1 2,9\n", "line 2: 4 fields where the header has 3"),
        (HEADER + "a.jpg,1\n", "line 2: 2 fields"),
        (HEADER + "\na.jpg,1,1 2\n", "line 2: 0 fields"),
        (HEADER + 'a.jpg,1,"1 2\n', "cannot be read as CSV"),
        ("", "line 1: the header is ''"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_refused_with_its_line(tmp_path, text, message) -> None:
    table = tmp_path / "train.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        labels.read_labels(table, 4, 5, ["a.jpg", "b.jpg"])
    assert str(table) in str(error.value)


def test_both_forms_give_the_same_labels(tmp_path) -> None:
    current, of_2019 = tmp_path / "a.csv", tmp_path / "b.csv"
    current.write_text("ImageId,ClassId,EncodedPixels\nb.jpg,3,1 2\n")
    rows = [
        f"{image}_{c},{'1 2' if (image, c) == ('b.jpg', 3) else ''}"
        for image in ("a.jpg", "b.jpg")
        for c in range(1, 5)
    ]
    of_2019.write_text("\n".join(["ImageId_ClassId,EncodedPixels", *rows]) + "\n")
    expected = {"a.jpg": {}, "b.jpg": {3: "1 2"}}
    assert labels.read_labels(current, 4, 5, ["a.jpg", "b.jpg"]) == expected
    assert labels.read_labels(of_2019, 4, 5, ["a.jpg", "b.jpg"]) == expected


# -- recipe, split, names --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": "0"}, "epochs"),
        ({"epochs": "many"}, "epochs"),
        ({"amp": "fp8"}, "amp"),
        ({"class_shares": ["1", "2"]}, "class_shares"),
        ({"epoch": 3}, "epoch"),
        ({"encoders": {}}, "name at least one"),
        ({"encoders": {"resnet18": {"epoch": 3}}}, "resnet18 cannot set epoch"),
    ],
)
def test_a_wrong_value_is_named(values, message) -> None:
    with pytest.raises(InputError, match=message):
        recipe.named("sample", values)


def test_near_misses_of_an_encoder_are_suggested() -> None:
    with pytest.raises(InputError, match=r"did you mean.*resnet34"):
        check_encoder("resnet43")


def test_an_unknown_recipe_names_the_known() -> None:
    with pytest.raises(InputError, match="sample, cpu, kaggle"):
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
        (lambda: folds.read(tiny.folds / "none.csv"), "bash bin/make_folds.sh"),
        (lambda: postprocess.read(tiny.postprocess), "bash bin/tune.sh"),
        (lambda: Member(tiny, ENCODER, 0).config(), f"bash bin/train.sh {ENCODER} 0"),
        (lambda: Member(tiny, ENCODER, 0).weights_hash(), f"bash bin/train.sh {ENCODER} 0"),
        (lambda: onnx_file.read_identity(Member(tiny, ENCODER, 0)), f"bash bin/export.sh {ENCODER} 0"),
    ):
        with pytest.raises(InputError, match=command):
            call()


# -- files of a fold -------------------------------------------------------------------------------


@pytest.fixture
def trained(tiny) -> Job:
    job = Job.of(Member(tiny, ENCODER, 0), read_training_set(tiny), recipe.read(tiny.recipe), {"epochs": 1})
    job.run()
    return job


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_files_cut_short_are_told_from_whole_ones(trained) -> None:
    files, member = trained.member.files, trained.member
    for file, read in (
        (files.weights, lambda: weights.read_metadata(files.weights, member.remake)),
        (files.oof, lambda: oof.Store(files.oof, member.remake)),
        (files.config, member.config),
    ):
        cut(file)
        with pytest.raises(InputError, match=f"delete.*{member.remake}") as error:
            read()
        assert str(file) in str(error.value)
    files.onnx.write_bytes(b"\x08\x0a\xff\xff")
    with pytest.raises(InputError, match="is damaged"):
        onnx_file.read_identity(member)
    write_json(member.paths.postprocess, {"cuts": []})
    with pytest.raises(InputError, match=r"bash bin/tune\.sh"):
        postprocess.read(member.paths.postprocess)


def test_a_store_that_lacks_a_strip_or_has_one_twice(tmp_path) -> None:
    one = np.zeros((4, 2, 2), dtype=np.uint8)
    oof.write(tmp_path / "oof.npz", [("a.jpg", one)], {})
    with pytest.raises(InputError, match=r"lacks b\.jpg.*run `train`"):
        oof.Store(tmp_path / "oof.npz", "train")["b.jpg"]
    with pytest.warns(UserWarning, match="Duplicate name"):
        oof.write(tmp_path / "oof.npz", [("a.jpg", one), ("a.jpg", one)], {})
    with pytest.raises(InputError, match="twice"):
        oof.Store(tmp_path / "oof.npz", "train")


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
    torch.save({"weights": torch.zeros(1000)}, file)
    cut(file)
    with pytest.raises(InputError, match="delete"):
        checkpoint.load(file, tmp_path, "bash bin/train.sh")
    assert "ran" not in capsys.readouterr().out


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
        (lambda lines: lines[:-1], "no row for image b.jpg, class 4"),
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
    assert "did you mean" in stage("train", *arguments_of(tiny), "resnet43", 0).stderr
    made = stage("make_folds", *arguments_of(tiny), "--encoders", "resnet43")
    assert "did you mean" in made.stderr
    assert recipe.read(tiny.recipe).encoders == {ENCODER: {}}
    assert "bash bin/train.sh" in stage("tune", *arguments_of(tiny)).stderr
    assert "bash bin/tune.sh" in stage("export", *arguments_of(tiny)).stderr


def test_a_damaged_strip_stops_the_split_and_nothing_is_written(tiny) -> None:
    tiny.folds_csv.unlink()
    cut(tiny.train_images / ZERO)
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


def test_a_stage_on_a_full_disk_ends_with_a_message(tiny) -> None:
    """A limit on the size of files fails as a full disk does: in the middle of a write."""

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    tiny.folds_csv.unlink()
    done = stage("make_folds", *arguments_of(tiny), preexec_fn=limited)
    assert "File too large" in done.stderr
    assert not tiny.folds_csv.exists()
    assert {file.name for file in tiny.folds.iterdir()} == {"recipe.json"}
