"""The recipe: its values are checked, and an error names the value, where it was written and what it may be."""

from __future__ import annotations

import json

import pytest

from severstal import recipe, recipe_files, recipe_values
from severstal.errors import InputError
from severstal.paths import Paths
from severstal.recipe_values import SourcedValues


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": "0"}, "--epochs: Input should be greater than or equal to 1"),
        ({"epochs": "many"}, "--epochs: Input should be a valid integer"),
        ({"amp": "fp8"}, "--amp: Input should be 'auto', 'fp16'"),
        ({"class_sampling": ["1", "1"]}, "--class-sampling: Tuple should have at least 5 items"),
        ({"class_sampling": [0, 2, 0, 0, 0]}, "--class-sampling entry 2: Input should be less than or equal to 1"),
        ({"seed": "-1"}, "--seed: Input should be greater"),
        ({"seed": "99999999999999999999"}, "--seed: Input should be less"),
        ({"learning_rate": "inf"}, "--learning-rate: Input should be a finite number"),
        ({"tta": ["diagonal"]}, "--tta entry 1: Input should be 'horizontal'"),
        ({"encoders": []}, "--encoders: name at least one"),
        (
            {"encoders": {"resnet18": {"epoch": 3}}},
            r"resnet18\.epoch: there is no such value \(did you mean epochs\?\)",
        ),
        ({"encoders": {"resnet18": {"epochs": "x"}}}, r"resnet18\.epochs: Input should be a valid integer"),
        ({"encoders": {"resnet18": {"seed": 1}}}, r"resnet18\.seed: it is the same for all networks"),
        (
            {"augment": "strong", "crop_width": 96},
            r"recipe sample: augment: strong .* not square: choose --crop-height",
        ),
        ({"decoder_channels": [16, 16, 8, 8], "decoder_stride": 4}, "decoder_channels: with a .* at most 3 blocks"),
    ],
    ids=str,
)
def test_a_wrong_value_is_named_with_what_it_may_be(values, message) -> None:
    with pytest.raises(InputError, match=message):
        recipe.named("sample", values)


def test_every_wrong_value_is_named_at_once() -> None:
    with pytest.raises(InputError, match=r"--epochs: .*; --batch-size: "):
        recipe.named("sample", {"epochs": 0, "batch_size": 0})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "sam', "no valid JSON"),
        ("[]", "no JSON object"),
        ("{}", "encoders: Field required"),
        ('{"name": "a", "encoders": {"resnet18": {}}, "epochs": 0}', "epochs: "),
        ('{"name": "a", "encoders": {"resnet18": {}}, "folds": 5}', r"folds: there is no such value"),
    ],
)
def test_a_damaged_or_older_recipe_of_an_experiment_names_its_file_and_command(tmp_path, text, message) -> None:
    (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(InputError, match=rf"{message}.*delete it and run `bash bin/make_folds\.sh") as error:
        recipe.read(Paths(folds=tmp_path))
    assert str(error.value).startswith(str(tmp_path / "recipe.json"))


def test_an_encoder_is_trained_with_its_own_values_and_options_go_before_them() -> None:
    values = recipe.named("kaggle")
    own = values.for_encoder("tu-convnext_tiny")
    assert (own.learning_rate, own.encoders) == (3e-4, {"tu-convnext_tiny": {}})
    assert values.for_encoder("resnet34").learning_rate == values.learning_rate
    assert values.for_encoder("tu-convnext_tiny", {"learning_rate": "0.1"}).learning_rate == 0.1


def test_what_is_written_is_read_again_with_the_source_of_each_value(tmp_path) -> None:
    values = recipe_files.load("kaggle").updated(recipe_values.command_line({"epochs": 3}, "make_folds.sh"))
    paths = Paths(folds=tmp_path)
    recipe.write(paths.recipe, recipe.build(values), values.sources)
    assert recipe.read(paths) == recipe.build(values)
    again = recipe.read_values(paths)
    assert again.label("epochs") == "--epochs of make_folds.sh"
    assert again.label("batch_size") == "kaggle.toml"
    assert again.label("amp") == "default"
    own = again.for_encoder("tu-convnext_tiny")
    assert own.label("learning_rate") == "[encoders.tu-convnext_tiny] of kaggle.toml"
    assert json.loads(paths.recipe.read_text())["epochs"] == 3


def test_a_later_source_replaces_an_earlier_one_whole() -> None:
    first = recipe_files.load("kaggle")
    later = first.updated(SourcedValues({"encoders": {"resnet18": {}}}))
    assert not any(name.startswith("encoders.") for name in later.sources)
    assert list(recipe.build(later).encoders) == ["resnet18"]
