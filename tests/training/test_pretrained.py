"""Fine-tuning from another experiment's folds: whole networks are taken over, and no validation strip was learned."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest
import torch
from support.commands import run_stage_in_process
from support.experiments import write_tiny
from support.training import ENCODER, SHARED_VALUES, job, same, teach, weights_of

from severstal import recipe
from severstal.artifacts import read_json, write_json
from severstal.data.training_set import read_training_set
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.models import weights
from severstal.models.unet import build_unet
from severstal.models.whole_network import load_whole_network
from severstal.paths import Paths
from severstal.training.changed_values import refuse_changes
from severstal.training.job import Job


def from_folds(paths: Paths) -> dict[str, str]:
    return {"from_folds": str(paths.folds)}


def rename_strips(paths: Paths, prefix: str) -> None:
    """Give every training strip another name, in all tables too."""
    for file in paths.train_images.iterdir():
        file.rename(file.with_name(prefix + file.name))
    for table in (paths.train_csv, paths.folds_csv):
        frame = pd.read_csv(table, dtype=str, keep_default_na=False)
        frame.assign(ImageId=prefix + frame["ImageId"]).to_csv(table, index=False)


@pytest.fixture
def source(tmp_path) -> Paths:
    """Another experiment with the strips and the split of ``tiny``."""
    return write_tiny(tmp_path / "source")


def test_a_fold_starts_with_all_weights_of_the_same_fold(trained, tmp_path) -> None:
    paths = write_tiny(tmp_path)
    given = SHARED_VALUES | {"from_folds": str(trained.job.member.paths.folds), "epochs": 1, "learning_rate": 1e-12}
    job(paths, given).run()
    config, before = Member(paths, ENCODER, 0).config(), weights_of(trained.job.member.paths)
    learned = {name for name in before if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    after = weights_of(paths)
    assert all(torch.allclose(after[name], before[name], atol=1e-6) for name in learned)
    assert config.pretrained is not None
    assert config.pretrained.fold == 0
    assert config.pretrained.weights == trained.job.member.weights_hash()
    assert config.initial_weights["loaded"] == len(before)
    assert (config.mean, config.std) == (trained.job.member.config().mean, trained.job.member.config().std)


def test_a_network_of_another_scale_and_without_classifier_is_taken_over(tmp_path) -> None:
    values = recipe.build({"name": "a", "encoders": ["resnet18"], "encoder_weights": "none"})
    old = build_unet(values, "resnet18")
    weights.save(tmp_path / "old.safetensors", old.state_dict(), {})
    changed = values.model_copy(update={"downscale": 2, "classifier_loss_weight": 0.1})
    new = build_unet(changed, "resnet18")
    record = load_whole_network(new, tmp_path / "old.safetensors")
    assert same({n: t for n, t in new.unet.state_dict().items() if not n.startswith("class")}, old.state_dict())
    assert all(name.startswith("classification_head") for name in record.missing)
    narrow = build_unet(values.model_copy(update={"decoder_channels": (64, 32, 16, 8, 8)}), "resnet18")
    with pytest.raises(InputError, match=r"tensors differ.*same encoder, decoder_channels and decoder_stride"):
        load_whole_network(narrow, tmp_path / "old.safetensors")


def test_each_fold_starts_from_a_network_that_learned_from_none_of_its_validation_strips(tiny, source) -> None:
    for fold in range(2):
        teach(source, fold)
    assert [job(tiny, from_folds(source), fold).start.member.fold for fold in range(2)] == [0, 1]
    assert job(tiny, from_folds(source), 0).new_config().pretrained.compared == "pictures"
    shutil.rmtree(source.fold(ENCODER, 0).folder)
    with pytest.raises(InputError, match=r"fold 0 validates on 0.*\.jpg, which .* learned from .*same folds\.csv"):
        job(tiny, from_folds(source), 0)
    assert job(tiny, from_folds(source), 1).start.member.fold == 1


def test_a_copy_of_a_fold_under_another_name_is_no_fold(tiny, source) -> None:
    teach(source, 0)
    folder = source.fold(ENCODER, 0).folder
    shutil.copytree(folder, folder.with_name("0.bak"))
    assert job(tiny, from_folds(source), 0).start.member.fold == 0


def test_with_other_strips_a_fold_without_a_counterpart_takes_the_first_network(tiny, source) -> None:
    rename_strips(source, "other")
    teach(source, 0)
    assert job(tiny, from_folds(source), 1).start.member.fold == 0


def test_a_near_duplicate_under_another_name_is_found_before_training(tiny, source) -> None:
    rename_strips(source, "copy_of_")
    teach(source, 1)
    with pytest.raises(InputError, match=r"fold 0 validates on .*near-duplicate of it.*6 strips"):
        job(tiny, from_folds(source), 0).run()
    assert not tiny.fold(ENCODER, 0).config.exists()
    for strip in source.train_images.iterdir():
        strip.unlink()
    assert job(tiny, from_folds(source), 0).new_config().pretrained.compared == "names"


def test_what_an_earlier_start_learned_from_counts_too(tiny, source, tmp_path) -> None:
    teach(source, 0)
    second = write_tiny(tmp_path / "second")
    rename_strips(second, "other")
    shutil.rmtree(second.train_images)
    (source.input / "SYNTHETIC.json").write_text("{}")
    shutil.copytree(source.train_images, second.train_images)
    for file in second.train_images.iterdir():
        file.rename(file.with_name("other" + file.name))
    started = teach(second, 0, from_folds(source))
    assert started.config().pretrained.synthetic is False, "the source was taught before it was marked"
    with pytest.raises(InputError, match="fold 1 validates on"):
        job(tiny, from_folds(second), 1)
    weights.save(source.fold(ENCODER, 0).weights, {"layer": torch.ones(1)}, {})
    with pytest.raises(InputError, match=r"was replaced since"):
        job(tiny, from_folds(second), 0)


def test_a_split_that_was_replaced_is_refused(tiny, source) -> None:
    teach(source, 0)
    frame = pd.read_csv(source.folds_csv, dtype=str, keep_default_na=False)
    frame.assign(fold=frame["fold"].iloc[::-1].to_numpy()).to_csv(source.folds_csv, index=False)
    with pytest.raises(InputError, match=r"folds\.csv is not the split that .* was trained with"):
        job(tiny, from_folds(source), 0)


def test_an_experiment_without_this_encoder_is_an_error_that_names_those_it_has(tiny, source) -> None:
    with pytest.raises(InputError, match="it has no trained network"):
        job(tiny, from_folds(source))
    files = teach(source, 0).files
    files.folder.parent.rename(source.folds / "resnet18")
    with pytest.raises(InputError, match=f"no trained {ENCODER}; it has networks of resnet18"):
        job(tiny, from_folds(source))


def test_other_networks_at_the_start_are_another_training(tiny, source) -> None:
    teach(source, 0)
    teach(tiny, 0, from_folds(source))
    refuse_changes([job(tiny, from_folds(source))])
    with pytest.raises(InputError, match=rf"from_folds {source.folds} -> none.*\n.*--from {source.folds}"):
        refuse_changes([job(tiny)])
    weights.save(source.fold(ENCODER, 0).weights, {"layer": torch.ones(1)}, {})
    with pytest.raises(InputError, match="the networks of --from changed"):
        refuse_changes([job(tiny, from_folds(source))])


def test_the_option_stands_in_the_recipe_of_the_experiment(tiny, source) -> None:
    teach(source, 0)
    run_stage_in_process("make_folds", tiny, "--from", source.folds)
    assert recipe.read(tiny).from_folds == str(source.folds)
    fine_tuning = Job.of(Member(tiny, ENCODER, 0), read_training_set(tiny), recipe.read(tiny), {})
    assert fine_tuning.start is not None


def test_folds_of_an_earlier_version_cannot_be_checked(tiny, source) -> None:
    files = teach(source, 0).files
    config = read_json(files.config, "")
    del config["train_images"]
    write_json(files.config, config)
    with pytest.raises(InputError, match="what it learned from is not known"):
        job(tiny, from_folds(source))
