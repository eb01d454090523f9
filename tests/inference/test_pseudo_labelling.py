"""Pseudo-labels: who is sure of what, a fold's own networks only, and trainings with and without them."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from support.commands import run_stage_alone
from support.experiments import write_tiny
from support.finished_run import write_finished

import pseudo as stage
from severstal import recipe
from severstal.artifacts import write_json
from severstal.data import out_of_fold, pseudo_labels, rle, strips
from severstal.data.labels import read_labels
from severstal.data.memory_map import TrainingStrips
from severstal.data.training_set import TrainingSet, read_training_set
from severstal.engines import catalog, onnx_file
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.inference.confidence import (
    ABSENT,
    GATE_AGAINST_MASK,
    GATE_UNSURE,
    MASK_UNSURE,
    MEMBERS_DIFFER,
    OFF_STEEL,
    OVERLAP,
    THERE,
    Limits,
    assess,
)
from severstal.paths import Paths, PseudoPaths
from severstal.postprocess import tuned_values
from severstal.postprocess.rules import ComponentArea, DualThreshold, MaskArea
from severstal.training.job import Job
from severstal.training.sampling import ClassSampler, PseudoLabelSampler

ENCODER = "tu-mobilenetv4_conv_small"
LIMITS = Limits(there=204, absent=102, margin=1.0, agreement=0.8)
RULES = (ComponentArea(threshold=128, min_area=20),) * 4
BOX = np.zeros((64, 96), dtype=bool)
BOX[10:40, 20:60] = True
STEEL = (0, 90)  # columns; beside them lies the black bar


# -- who is sure ------------------------------------------------------------------------------------


def maps_with(*levels: tuple[int, np.ndarray, int]) -> np.ndarray:
    """Maps of level 10, but for ``(class, where, level)``."""
    made = np.full((4, 64, 96), 10, dtype=np.uint8)
    for defect, where, level in levels:
        made[defect - 1][where] = level
    return made


def assessment(*maps: np.ndarray, class_probabilities: list | None = None):
    class_probabilities = [one.max(axis=(1, 2)) for one in maps] if class_probabilities is None else class_probabilities
    return assess(maps, class_probabilities, [1] * len(maps), RULES, LIMITS, STEEL)


def test_where_gate_and_mask_agree_every_class_is_sure() -> None:
    found = assessment(maps_with((2, BOX, 250)))
    assert found.verdicts == [ABSENT, THERE, ABSENT, ABSENT]
    assert found.is_sure
    assert np.array_equal(found.masks[1], BOX)
    assert not found.masks[[0, 2, 3]].any()
    assert assessment(maps_with()).verdicts == [ABSENT] * 4


def test_a_gate_between_its_limits_is_unsure() -> None:
    assert assessment(maps_with((3, BOX, 180))).verdicts[2] == GATE_UNSURE
    assert not assessment(maps_with((3, BOX, 180))).is_sure


def test_gate_and_mask_must_say_the_same() -> None:
    speck = np.zeros((64, 96), dtype=bool)
    speck[0, :5] = True  # seen by the gate, too small for a mask
    assert assessment(maps_with((1, speck, 250))).verdicts[0] == GATE_AGAINST_MASK
    absent = [np.zeros(4, dtype=np.uint8)]  # a gate of its own that sees nothing of a mask
    assert assessment(maps_with((4, BOX, 250)), class_probabilities=absent).verdicts[3] == GATE_AGAINST_MASK


def test_a_mask_that_hangs_on_its_threshold_is_unsure() -> None:
    faint = np.zeros((64, 96), dtype=bool)
    faint[10:40, 60:90] = True
    assert assessment(maps_with((1, BOX, 250), (1, faint, 110))).verdicts[0] == MASK_UNSURE
    assert assessment(maps_with((1, BOX, 250), (1, faint, 40))).verdicts[0] == THERE


def test_networks_must_agree_with_their_mean() -> None:
    calibration_level = BOX.copy()
    calibration_level[:, 40:] = False
    both = maps_with((1, BOX, 250))
    assert assessment(both, both).verdicts[0] == THERE
    lone = [both, maps_with((1, calibration_level, 250)), both, both]
    assert assessment(*lone, both, both, both).verdicts[0] == MEMBERS_DIFFER
    assert assess(lone, [one.max(axis=(1, 2)) for one in lone], [1, 0, 1, 1], RULES, LIMITS, STEEL).verdicts[0] == THERE


def test_two_classes_on_a_pixel_are_no_truth() -> None:
    assert assessment(maps_with((1, BOX, 250), (3, BOX, 250))).verdicts == [OVERLAP, ABSENT, OVERLAP, ABSENT]


def test_a_defect_in_the_black_bar_is_none() -> None:
    bar, across = np.zeros((64, 96), dtype=bool), np.zeros((64, 96), dtype=bool)
    bar[30:60, 91:96], across[10:40, 70:96] = True, True
    assert assessment(maps_with((2, BOX, 250), (2, bar, 250))).verdicts[1] == OFF_STEEL
    assert assessment(maps_with((2, BOX, 250), (2, across, 250))).verdicts[1] == THERE


@pytest.mark.parametrize("level", [1, 60, 128, 200, 254, 255])
def test_thresholds_move_by_logits(level: int) -> None:
    for margin in (-1.0, 1.0):
        rule = DualThreshold(threshold=level, min_area=3, high_threshold=level).shifted(margin)
        odds = level / max(255 - level, 0.5) * np.exp(margin)
        assert abs(rule.threshold - np.clip(255 * odds / (1 + odds), 1, 255)) <= 0.5
        assert rule.high_threshold == rule.threshold
    assert ComponentArea(threshold=128, min_area=0).shifted(0).threshold == 128


# -- the stage --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Paths:
    """A finished run, five test strips that are its training strips again, and three unknown ones."""
    paths = write_finished(tmp_path_factory.mktemp("pseudo"))
    for number, name in enumerate(("clean", "half", "sure")):
        grey = np.random.default_rng(100 + number).integers(40, 220, (64, 96), dtype=np.uint8)
        cv2.imwrite(str(paths.test_images / f"{name}.jpg"), grey)
    run(paths)
    return paths


def answer(name: str, fold: int) -> np.ndarray:
    """Maps of the stand-in networks: those of fold 1 draw three pixels further right, and are unsure of one strip."""
    box = np.roll(BOX, 3 * fold, axis=1)
    if name == "half.jpg":
        return maps_with((4, box, 250 if fold == 0 else 160))
    return maps_with((2, box, 250)) if name == "sure.jpg" else maps_with()


def run(paths: Paths, *options: str) -> None:
    """The stage itself, with networks that know the strips."""
    names = {strips.read(paths.test_images / name).tobytes(): name for name in strips.listing(paths.test_images)}

    def load(member: Member):
        def engine(read: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            maps = np.stack([answer(names[strip.tobytes()], member.fold) for strip in read])
            return maps, maps.max(axis=(2, 3))

        return engine

    arguments = ["pseudo", f"--input={paths.input}", f"--folds={paths.folds}", f"--submissions={paths.submissions}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "engine_class", lambda name: SimpleNamespace(load=load))
        patch.setattr(onnx_file, "check_identity", lambda member: None)
        patch.setattr(sys, "argv", [*arguments, *options])
        stage.main()


def test_each_folds_table_holds_what_its_own_networks_are_sure_of(labelled) -> None:
    tables = [read_labels(labelled.pseudo.labels(fold), 64, 96) for fold in (0, 1)]
    assert set(tables[0]) == {"clean.jpg", "half.jpg", "sure.jpg"}
    assert set(tables[1]) == {"clean.jpg", "sure.jpg"}
    assert tables[0]["clean.jpg"] == {}
    for fold in (0, 1):
        assert tables[fold]["sure.jpg"] == {2: rle.encode(np.roll(BOX, 3 * fold, axis=1))}
    record = pseudo_labels.read_record(labelled.pseudo)
    for fold, one in enumerate(record.folds):
        assert len(one.members) == 2
        assert all(name.endswith(f"fold {fold}") for name in one.members)


def test_why_a_strip_was_not_taken_is_told(labelled) -> None:
    table = pd.read_csv(labelled.pseudo.verdicts).set_index(["ImageId", "fold"])
    assert table.loc["half.jpg", 1]["class_4"] == GATE_UNSURE
    assert table.loc["half.jpg", 0]["class_4"] == THERE
    near_duplicates_of_labelled = [f"{number:09x}.jpg" for number in range(5)]  # the same pixels as labelled strips
    assert (table.loc[near_duplicates_of_labelled] == stage.NEAR_DUPLICATE).all(axis=None)
    counts = pseudo_labels.read_record(labelled.pseudo).counts
    assert counts[THERE] == [0, 2, 0, 1]
    assert counts[GATE_UNSURE] == [0, 0, 0, 1]
    assert counts[stage.NEAR_DUPLICATE] == [10] * 4
    assert {sum(column) for column in zip(*counts.values(), strict=True)} == {8 * 2}


def test_cuts_are_those_chosen_without_the_fold(labelled, monkeypatch) -> None:
    """A fold's own choice that draws nothing leaves it nothing but clean strips, and the other fold as it was."""
    values = tuned_values.read(labelled.postprocess)
    never = MaskArea(threshold=255, min_area=64 * 96 + 1)
    blind = values.nested[0].model_copy(update={"rules": (never,) * 4})
    monkeypatch.setattr(
        tuned_values, "read", lambda path: values.model_copy(update={"nested": (blind, values.nested[1])})
    )
    run(labelled, f"--output={labelled.folds / 'other'}")
    other = PseudoPaths(labelled.folds / "other")
    assert set(read_labels(other.labels(0), 64, 96)) == {"clean.jpg"}
    assert other.labels(1).read_bytes() == labelled.pseudo.labels(1).read_bytes()


def test_what_the_labels_are_worth_is_measured_on_held_out_strips(labelled) -> None:
    quality = pseudo_labels.read_record(labelled.pseudo).quality
    assert quality.strips == 12
    assert 0 < quality.taken <= 12
    nested = tuned_values.read(labelled.postprocess).scores["nested"]
    assert quality.dice == pytest.approx([nested[str(defect)] for defect in (1, 2, 3, 4)], abs=1e-9)


def test_what_is_up_to_date_stays_until_something_changes(labelled, capsys) -> None:
    before = labelled.pseudo.record.stat().st_mtime_ns
    run(labelled)
    assert "cached " in capsys.readouterr().out
    assert labelled.pseudo.record.stat().st_mtime_ns == before
    run(labelled, "--agreement", "0.9")
    assert labelled.pseudo.record.stat().st_mtime_ns != before
    run(labelled)  # as the other tests want it


def test_labelled_strips_and_wrong_limits_are_refused(labelled) -> None:
    with pytest.raises(InputError, match="holds the labelled strips"):
        run(labelled, f"--images={labelled.train_images}")
    for wrong in (["--there", "0.3"], ["--absent", "nan"], ["--margin", "-1"], ["--agreement", "1.5"]):
        with pytest.raises(InputError, match=wrong[0]):
            run(labelled, *wrong)


def test_values_without_each_folds_choice_are_refused(labelled, monkeypatch) -> None:
    values = tuned_values.read(labelled.postprocess).model_copy(update={"nested": ()})
    monkeypatch.setattr(tuned_values, "read", lambda path: values)
    with pytest.raises(InputError, match=r"bash bin/tune\.sh"):
        run(labelled)


# -- training with them -----------------------------------------------------------------------------


def job(paths: Paths, given: dict | None = None, fold: int = 0) -> Job:
    return Job.of(Member(paths, ENCODER, fold), read_training_set(paths), recipe.read(paths.recipe), given or {})


def second(root: Path, labelled: Paths) -> Paths:
    """Another experiment on the same strips and split, and a copy of the pseudo-labels."""
    paths = write_tiny(root)
    shutil.copy(labelled.folds_csv, paths.folds_csv)
    shutil.copytree(labelled.folds / "pseudo", paths.folds / "pseudo")
    return paths


@pytest.fixture
def student(tmp_path, labelled) -> Paths:
    return second(tmp_path, labelled)


def with_labels(paths: Paths, fold: int = 0) -> TrainingSet:
    return read_training_set(paths).with_pseudo_labels(str(paths.pseudo.folder), fold)


def test_a_fold_gets_its_own_table_and_validates_on_none_of_it(student) -> None:
    plain = read_training_set(student)
    for fold, taken in ((0, 3), (1, 2)):
        data = with_labels(student, fold)
        assert len(data.pseudo.labels) == taken
        assert data.pseudo.labels["pseudo/sure.jpg"] == {2: rle.encode(np.roll(BOX, 3 * fold, axis=1))}
        for held_out in (True, False):
            assert data.images(fold, held_out=held_out) == plain.images(fold, held_out=held_out)
        assert data.labels == plain.labels
    assert with_labels(student, 0).pseudo.images == with_labels(student, 1).pseudo.images, "folds share one cache"


def test_another_split_is_refused_for_it_would_leak(student) -> None:
    split = pd.read_csv(student.folds_csv, dtype=str, keep_default_na=False)
    swapped = [split.index[split["fold"] == fold][0] for fold in ("0", "1")]
    split.loc[swapped, "fold"] = ["1", "0"]
    split.to_csv(student.folds_csv, index=False)
    for fold in (0, 1):
        with pytest.raises(InputError, match="would leak"):
            with_labels(student, fold)


def test_what_is_missing_or_was_changed_is_named(student, labelled) -> None:
    table, record = student.pseudo.labels(1), student.pseudo.record
    text = table.read_text()
    table.write_text(text + "other.jpg,1,\n")
    with pytest.raises(InputError, match=r"fold_1\.csv was changed"):
        with_labels(student)
    table.unlink()
    with pytest.raises(InputError, match=r"fold_1\.csv is missing"):
        with_labels(student)
    table.write_text(text)
    known = json.loads(record.read_text())
    elsewhere = student.folds / "strips"
    shutil.copytree(labelled.test_images, elsewhere)
    write_json(record, known | {"images": str(elsewhere)})
    assert with_labels(student).fingerprint
    cv2.imwrite(str(elsewhere / "sure.jpg"), np.zeros((64, 96), dtype=np.uint8))
    with pytest.raises(InputError, match="holds other strips"):
        with_labels(student)
    (elsewhere / "sure.jpg").unlink()
    with pytest.raises(InputError, match=r"sure\.jpg is missing"):
        with_labels(student)
    write_json(record, known | {"folds": 3})
    with pytest.raises(InputError, match=r"pseudo\.json: folds"):
        with_labels(student)
    record.unlink()
    with pytest.raises(InputError, match=r"bash bin/pseudo\.sh"):
        with_labels(student)


def test_pseudo_labelled_strips_give_their_share_of_each_kind(student) -> None:
    data = with_labels(student)
    values = {"samples_per_epoch": 4000, "pseudo_label_share": 0.3}
    chosen, training = recipe.named("sample", values), data.images(0, held_out=False)
    draws, plain = list(PseudoLabelSampler(data, training, chosen)), list(ClassSampler(data, training, chosen))
    assert [(draw.defect, draw.seed) for draw in draws] == [(draw.defect, draw.seed) for draw in plain]
    known = data.labels | data.pseudo.labels
    assert all(draw.defect in known[draw.image] if draw.defect else not known[draw.image] for draw in draws)
    for defect, share in ((0, 0.3), (2, 0.3), (4, 0.3), (1, 0.0), (3, 0.0)):
        of_kind = [draw.image in data.pseudo.labels for draw in draws if draw.defect == defect]
        assert np.mean(of_kind) == pytest.approx(share, abs=0.05)
    parts = [list(PseudoLabelSampler(data, training, chosen, rank, 2)) for rank in range(2)]
    assert [draw for pair in zip(*parts, strict=True) for draw in pair] == draws


def test_a_pseudo_labelled_strip_is_not_taken_for_a_training_strip_of_its_name(student) -> None:
    data, name = with_labels(student), "000000001.jpg"
    other = student.input / "other"
    other.mkdir()
    strip = np.full((64, 96), 200, dtype=np.uint8)
    cv2.imwrite(str(other / name), strip)
    labels = {pseudo_labels.PREFIX + name: {4: rle.encode(BOX)}}
    source = TrainingStrips(replace(data, pseudo=pseudo_labels.PseudoLabels(other, [name], labels, "f")))
    for _ in ("decoded", "found"):
        assert np.array_equal(source.grey(pseudo_labels.PREFIX + name), strips.read(other / name))
        assert np.array_equal(source.grey(name), strips.read(student.train_images / name))
        assert source.masks(pseudo_labels.PREFIX + name).area(4) == BOX.sum()
        assert source.masks(name).runs.keys() == data.labels[name].keys()
        source = TrainingStrips(replace(data, pseudo=pseudo_labels.PseudoLabels(other, [name], labels, "f")))
    TrainingStrips(read_training_set(student))
    assert len(list((student.folds / "cache").rglob("*.grey"))) == 2, "a fold without leaves the others' cache alone"


def weights_of(paths: Paths) -> dict[str, torch.Tensor]:
    return load_file(paths.fold(ENCODER, 0).weights)


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(left[name], right[name]) for name in left)


def test_switched_off_weights_are_the_same_and_switched_on_others(student) -> None:
    job(student, {"epochs": 1}).run()
    plain = weights_of(student)
    given = {"epochs": 1, "pseudo_labels": str(student.pseudo.folder), "pseudo_label_share": 0.0}
    job(student, given).run()
    assert same(weights_of(student), plain), "no samples of them: as without"
    shutil.rmtree(student.fold(ENCODER, 0).folder)
    job(student, given | {"pseudo_label_share": 0.9}).run()
    assert not same(weights_of(student), plain)
    assert job(student).is_finished(), "the values given when it was trained stay with the fold"


def test_what_counts_is_what_the_labels_are_not_where_they_lie(student) -> None:
    off = job(student)
    assert job(student, {"pseudo_label_share": 0.5}).fingerprint == off.fingerprint, "a share of nothing"
    given = {"pseudo_labels": str(student.pseudo.folder)}
    on = job(student, given)
    assert on.fingerprint != off.fingerprint
    assert job(student, given | {"pseudo_label_share": 0.5}).fingerprint != on.fingerprint
    moved_to = student.folds / "moved"
    shutil.copytree(student.pseudo.folder, moved_to)
    assert job(student, {"pseudo_labels": str(moved_to)}).fingerprint == on.fingerprint
    record = json.loads((moved_to / "pseudo.json").read_text())
    codes = {image: ["1 5", "", "", ""] for image in read_labels(student.pseudo.labels(0), 64, 96)}
    pseudo_labels.write_labels(PseudoPaths(moved_to).labels(0), codes)
    with pytest.raises(InputError, match="was changed"):
        job(student, {"pseudo_labels": str(moved_to)})
    record["folds"][0]["table"] = pseudo_labels.file_hash(PseudoPaths(moved_to).labels(0))
    write_json(moved_to / "pseudo.json", record)
    assert job(student, {"pseudo_labels": str(moved_to)}).fingerprint != on.fingerprint


@pytest.mark.slow
def test_from_networks_to_a_second_experiment_through_the_stages(tmp_path) -> None:
    """Real networks, exported: what they label, sure or not, is what a second experiment then trains with."""
    first = write_tiny(tmp_path)
    first.test_images.mkdir()
    for number in range(3):
        grey = np.random.default_rng(50 + number).integers(40, 220, (64, 96), dtype=np.uint8)
        cv2.imwrite(str(first.test_images / f"{number:09x}.jpg"), grey)
    for name in ("train", "tune", "export"):
        run_stage_alone(name, first)
    lenient = ("--absent", 0.98, "--there", 0.99, "--agreement", 0)
    assert "over all folds" in run_stage_alone("pseudo", first, *lenient).stdout
    assert "cached " in run_stage_alone("pseudo", first, *lenient).stdout
    taken = sum(one.taken for one in pseudo_labels.read_record(first.pseudo).folds)
    assert taken, "nothing to train with"
    other = Paths(first.input, tmp_path / "second", first.submissions)
    shutil.copytree(first.folds, other.folds, ignore=shutil.ignore_patterns("tu-*", "pseudo", "cache"))
    run_stage_alone("make_folds", other, "--pseudo-labels", first.pseudo.folder, "--epochs", 1)
    run_stage_alone("train", other, ENCODER, 0)
    assert recipe.read(other.recipe).pseudo == str(first.pseudo.folder)
    trained = Member(other, ENCODER, 0)
    labels = read_training_set(other)
    assert (
        trained.config().data
        == labels.with_pseudo_labels(str(first.pseudo.folder), 0).fingerprint
        != labels.fingerprint
    )
    assert sorted(out_of_fold.FoldMaps(trained.files.oof, "").images) == sorted(labels.images(0, held_out=True))
