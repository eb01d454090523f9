"""A network that was trained with other values or data is neither replaced nor used: an error names every way out."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch
from support.commands import run_refused, run_stage_in_process
from support.training import ENCODER, job

from severstal import recipe
from severstal.artifacts import read_json, write_json
from severstal.commands import command
from severstal.errors import InputError
from severstal.models import weights
from severstal.paths import Paths
from severstal.training.changed_values import refuse_changes
from severstal.training.job import Job

OTHER = "resnet18"


def trained(paths: Paths, given: dict | None = None, fold: int = 0) -> Job:
    """A job with the files of a training that is taken for done."""
    done = job(paths, given, fold)
    write_json(done.member.files.config, done.new_config().model_dump())
    weights.save(done.member.files.weights, {"layer": torch.zeros(1)}, {"fingerprint": done.fingerprint})
    return done


def interrupted(paths: Paths, given: dict | None = None) -> Job:
    done = trained(paths, given)
    done.member.files.weights.rename(done.member.files.checkpoint)
    return done


def error_of(*jobs: Job) -> str:
    with pytest.raises(InputError) as error:
        refuse_changes(list(jobs))
    return str(error.value)


def commands(message: str) -> dict[str, str]:
    """Each way out that an error names: what for, and its command."""
    return dict(line.strip().split(":  ") for line in message.splitlines()[1:] if ":  " in line)


def run(paths: Paths, command: str) -> None:
    """A command of an error, in this process."""
    _, script, *arguments = shlex.split(command)
    run_stage_in_process(Path(script).stem, paths, *arguments)


KEEP, RECIPE, ANEW = "to keep what is there, give its values again", "to use its values in every run", "to train anew"


@pytest.mark.parametrize("on_disk", [trained, interrupted])
def test_other_values_are_an_error_that_names_the_difference_and_the_commands(tiny, on_disk) -> None:
    on_disk(tiny, {"epochs": 60, "learning_rate": 0.01})
    message = error_of(job(tiny))
    assert message.startswith(f"{ENCODER} fold 0: trained with other values")
    assert "(epochs 60 -> 3, learning_rate 0.01 -> 0.001)" in message
    found = commands(message)
    assert found[KEEP] == command(tiny, "train", ENCODER, 0, "--epochs", 60, "--learning-rate", 0.01)
    assert found[RECIPE] == command(tiny, "make_folds", "--epochs", 60, "--learning-rate", 0.01)
    assert found[ANEW].startswith("rm -r ")
    assert found[ANEW].endswith(f"folds/{ENCODER}/0")


def test_a_stage_stops_before_any_training_and_changes_no_file(tiny) -> None:
    trained(tiny, {"epochs": 60}, fold=1)
    assert f"error: {ENCODER} fold 1: trained with other values" in run_refused("train", tiny)
    with pytest.raises(InputError, match="fold 1: trained with other values"):
        job(tiny, fold=1).run()


def test_a_recipe_that_training_would_refuse_is_not_written(tiny) -> None:
    trained(tiny)
    message = run_refused("make_folds", tiny, "--epochs", 60)
    assert f"{ENCODER} fold 0: trained with other values or data than are asked for now (epochs 3 -> 60)" in message
    assert f"{tiny.recipe} is as it was" in message
    run_stage_in_process("make_folds", tiny, "--tta", "both", "--encoders", f"{ENCODER},{OTHER}")
    trained(tiny, {"epochs": 60}, fold=1)  # with an option of train.sh
    run_stage_in_process("make_folds", tiny, "--tta", "none")


def test_the_same_values_given_again_keep_the_network(tiny) -> None:
    trained(tiny, {"epochs": 60})
    again = job(tiny, {"epochs": "60"})
    refuse_changes([again])
    assert again.is_trained()


def test_values_that_do_not_shape_the_weights_may_change(tiny) -> None:
    trained(tiny)
    refuse_changes([job(tiny, {"tta": ["both"], "num_workers": 3, "eval_batch_size": 1, "pseudo_label_share": 0.9})])


def test_the_command_for_the_recipe_gives_the_values_to_later_runs(tiny) -> None:
    run(tiny, f"bash bin/make_folds.sh --encoders {ENCODER},{OTHER}")
    trained(tiny, {"epochs": 60, "tta": ["both"]})
    command = commands(error_of(job(tiny)))[RECIPE]
    assert "resnet18" in command
    run(tiny, command)
    refuse_changes([job(tiny)])
    values = recipe.read(tiny)
    assert (values.for_encoder(ENCODER).epochs, values.for_encoder(OTHER).epochs) == (60, 3)


def test_an_option_that_differs_from_the_recipe_needs_no_change_of_the_recipe(tiny) -> None:
    trained(tiny)
    found = commands(error_of(job(tiny, {"epochs": 60, "warmup": 0.05})))
    assert found[KEEP] == command(tiny, "train", ENCODER, 0, "--epochs", 3, "--warmup", 0.05)
    assert RECIPE not in found


def test_several_networks_that_differ_alike_are_named_together(tiny) -> None:
    jobs = [trained(tiny, {"epochs": 60}, fold) and job(tiny, fold=fold) for fold in range(2)]
    message = error_of(*jobs)
    assert message.startswith(f"{ENCODER} fold 0, {ENCODER} fold 1: trained with")
    assert "train.sh ENCODER FOLD --epochs 60" in message
    assert f"{ENCODER}/0 " in message
    trained(tiny, {"epochs": 50}, fold=1)
    assert "1 more of the networks asked for differ in other values" in error_of(*jobs)


def test_a_changed_seed_is_given_again_to_the_experiment(tiny) -> None:
    done = trained(tiny)
    write_json(tiny.recipe, recipe.read(tiny).model_dump() | {"seed": 5})
    found = commands(error_of(job(tiny)))
    assert KEEP not in found
    assert found[RECIPE] == command(tiny, "make_folds", "--seed", done.recipe.seed)


def test_other_data_is_an_error_with_its_own_ways_out(tiny) -> None:
    trained(tiny)
    tiny.train_csv.write_text("\n".join(tiny.train_csv.read_text().splitlines()[:-1]) + "\n")
    message = error_of(job(tiny))
    assert "the labels, the strips, the split, the pseudo-labels or the networks of --from changed" in message
    assert list(commands(message)) == ["to keep what is there", ANEW]
    assert "--folds DIR" in commands(message)["to keep what is there"]


def test_without_a_finished_epoch_nothing_is_lost_and_nothing_is_asked(tiny) -> None:
    trained(tiny, {"epochs": 60}).member.files.weights.unlink()
    refuse_changes([job(tiny)])


def test_a_network_of_an_earlier_version_is_refused_with_the_reason_and_the_cure(tiny) -> None:
    files = trained(tiny).member.files
    config = read_json(files.config, "")
    del config["version"]
    write_json(files.config, config)
    with pytest.raises(InputError, match=r"another version of this project.*delete .*/0 and run `bash bin/train\.sh"):
        refuse_changes([job(tiny)])
