"""Members of an experiment: an encoder or fold that it lacks, and files that it lacks, are errors with a command."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.training import ENCODER
from support.untrained_folds import write_untrained_folds

from severstal import recipe
from severstal.artifacts import write_json
from severstal.data import split
from severstal.engines import onnx_file
from severstal.errors import InputError
from severstal.experiment import Member, select_members
from severstal.postprocess import tuned_values


def test_an_encoder_or_fold_that_the_experiment_lacks_is_named(tiny) -> None:
    chosen = recipe.read(tiny)
    with pytest.raises(InputError, match=r"no fold 2: folds.csv has 0 to 1"):
        select_members(tiny, chosen, None, 2)
    with pytest.raises(InputError, match=r"bash bin/make_folds.sh --encoders"):
        select_members(tiny, chosen, "resnet34", None)


def test_a_missing_file_names_the_command_that_writes_it(tiny) -> None:
    for call, command in (
        (lambda: recipe.read(replace(tiny, folds=tiny.folds / "none")), "bash bin/make_folds.sh"),
        (lambda: split.read(replace(tiny, folds=tiny.folds / "none")), "bash bin/make_folds.sh"),
        (lambda: tuned_values.read(tiny), "bash bin/tune.sh"),
        (lambda: Member(tiny, ENCODER, 0).config(), f"bash bin/train.sh {ENCODER} 0"),
        (lambda: Member(tiny, ENCODER, 0).weights_hash(), f"bash bin/train.sh {ENCODER} 0"),
        (lambda: onnx_file.read_identity(Member(tiny, ENCODER, 0)), f"bash bin/export.sh {ENCODER} 0"),
    ):
        with pytest.raises(InputError, match=command):
            call()


def test_a_damaged_configuration_names_its_file_and_how_to_train_again(tiny) -> None:
    member = write_untrained_folds(tiny).member
    member.files.config.write_text("{")
    with pytest.raises(InputError, match=f"delete.*{member.remake}") as error:
        member.config()
    assert str(member.files.config) in str(error.value)
    write_json(member.files.config, {"encoder": ENCODER})
    with pytest.raises(InputError, match="version"):
        member.config()
