"""Training with pseudo-labels: their share of the samples, and what decides whether a fold is trained again."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from support.commands import run_stage_in_process
from support.pseudo_labelled_run import write_student
from support.training import ENCODER, job, same, teach, weights_of

from severstal import recipe
from severstal.artifacts import write_json
from severstal.data import out_of_fold, pseudo_labels
from severstal.data.labels import read_labels
from severstal.data.training_set import read_training_set
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.paths import Paths, PseudoPaths
from severstal.training.sampling import ClassSampler, PseudoLabelSampler


@pytest.fixture
def student(tmp_path, pseudo_labelled) -> Paths:
    return write_student(tmp_path, pseudo_labelled)


def test_pseudo_labelled_strips_give_their_share_of_the_samples_of_each_class(student) -> None:
    data = read_training_set(student).with_pseudo_labels(str(student.pseudo.folder), 0)
    values = {"samples_per_epoch": 4000, "pseudo_label_share": 0.3}
    chosen, training = recipe.named("sample", values), data.images(0, held_out=False)
    draws, without = list(PseudoLabelSampler(data, training, chosen)), list(ClassSampler(data, training, chosen))
    assert [(draw.defect, draw.seed) for draw in draws] == [(draw.defect, draw.seed) for draw in without]
    known = data.labels | data.pseudo.labels
    assert all(draw.defect in known[draw.image] if draw.defect else not known[draw.image] for draw in draws)
    for defect, share in ((0, 0.3), (2, 0.3), (4, 0.3), (1, 0.0), (3, 0.0)):
        of_class = [draw.image in data.pseudo.labels for draw in draws if draw.defect == defect]
        assert np.mean(of_class) == pytest.approx(share, abs=0.05)
    parts = [list(PseudoLabelSampler(data, training, chosen, rank, 2)) for rank in range(2)]
    assert [draw for pair in zip(*parts, strict=True) for draw in pair] == draws


def test_a_share_of_zero_trains_as_without_labels_and_a_larger_one_does_not(student) -> None:
    labels = {"pseudo_labels": str(student.pseudo.folder)}
    trained = []
    for given in ({}, labels | {"pseudo_label_share": 0.0}, labels | {"pseudo_label_share": 0.9}):
        shutil.rmtree(student.fold(ENCODER, 0).folder, ignore_errors=True)
        job(student, {"epochs": 1, "samples_per_epoch": 8} | given).run()
        trained.append(weights_of(student))
    assert same(trained[1], trained[0])
    assert not same(trained[2], trained[0])


def test_a_fold_depends_on_the_content_of_the_labels_not_on_their_folder(student) -> None:
    off = job(student)
    assert job(student, {"pseudo_label_share": 0.5}).fingerprint == off.fingerprint, "a share of no labels"
    given = {"pseudo_labels": str(student.pseudo.folder)}
    on = job(student, given)
    assert on.fingerprint != off.fingerprint
    assert job(student, given | {"pseudo_label_share": 0.5}).fingerprint != on.fingerprint
    moved = PseudoPaths(student.folds / "moved")
    shutil.copytree(student.pseudo.folder, moved.folder)
    given = {"pseudo_labels": str(moved.folder)}
    assert job(student, given).fingerprint == on.fingerprint
    codes = {image: ["1 5", "", "", ""] for image in read_labels(student.pseudo.labels(0), 64, 96)}
    pseudo_labels.write_labels(moved.labels(0), codes)
    with pytest.raises(InputError, match="was changed"):
        job(student, given)
    record = json.loads(moved.record.read_text())
    record["folds"][0]["table"] = pseudo_labels.file_hash(moved.labels(0))
    write_json(moved.record, record)
    assert job(student, given).fingerprint != on.fingerprint


def test_a_network_whose_pseudo_labels_were_replaced_teaches_no_other(student, tmp_path) -> None:
    teach(student, 0, {"pseudo_labels": str(student.pseudo.folder)})
    second = Paths(student.input, tmp_path / "second", student.submissions)
    shutil.copytree(student.folds, second.folds, ignore=shutil.ignore_patterns("pseudo", ENCODER))
    given = {"from_folds": str(student.folds)}
    assert len(job(second, given).start.sources) == 2
    codes = {image: ["1 5", "", "", ""] for image in read_labels(student.pseudo.labels(0), 64, 96)}
    pseudo_labels.write_labels(student.pseudo.labels(0), codes)
    with pytest.raises(InputError, match="was replaced since"):
        job(second, given)


def test_a_second_experiment_trains_with_the_labels_that_it_is_set_up_with(student, pseudo_labelled, tmp_path) -> None:
    second = Paths(student.input, tmp_path / "second", student.submissions)
    shutil.copytree(student.folds, second.folds, ignore=shutil.ignore_patterns("pseudo"))
    run_stage_in_process("make_folds", second, "--pseudo-labels", pseudo_labelled.pseudo.folder, "--epochs", 1)
    assert recipe.read(second).pseudo_labels == str(pseudo_labelled.pseudo.folder)
    job(second).run()
    data, trained = read_training_set(second), Member(second, ENCODER, 0)
    with_labels = data.with_pseudo_labels(str(pseudo_labelled.pseudo.folder), 0)
    assert trained.config().data == with_labels.fingerprint != data.fingerprint
    assert sorted(out_of_fold.FoldMaps(trained.files.oof, "").images) == sorted(data.images(0, held_out=True))
