"""Values of the recipe on the command line, and --show-recipe, as the stages take them."""

from __future__ import annotations

import json
import re

import pytest
from support.commands import run_refused, run_stage_in_process
from support.files import contents
from support.training import ENCODER

from severstal import recipe, recipe_files
from severstal.errors import InputError
from severstal.paths import Paths
from severstal.recipe import Recipe
from severstal.recipe_options import format_value, parse_value


def run(name: str, paths: Paths, *arguments: object) -> str:
    return run_stage_in_process(name, paths, *arguments).stdout


def rows(printed: str) -> dict[str, list[str]]:
    """The table by value: what it is, and where it comes from."""
    return {line[0]: line[1:] for text in printed.splitlines() if len(line := text.split(maxsplit=2)) == 3}


@pytest.mark.parametrize("name", ["sample", "kaggle"])
def test_every_value_can_be_written_as_an_option_and_read_again(name) -> None:
    values = recipe.named(name)
    written = {field: format_value(getattr(values, field)) for field in Recipe.model_fields if field != "name"}
    assert recipe.build({"name": name} | {field: parse_value(field, text) for field, text in written.items()}) == values


def test_an_option_that_is_no_json_is_named() -> None:
    with pytest.raises(InputError, match=r"--encoders is no valid JSON"):
        parse_value("encoders", '{"resnet18": ')


def test_the_table_of_a_new_experiment_names_every_source_and_writes_nothing(tmp_path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('extends = "cpu"\nseed = 7\n[encoders.resnet18]\nlearning_rate = 0.1\n')
    before = contents(tmp_path)
    paths = Paths(tmp_path / "input", tmp_path / "folds", tmp_path / "submissions")
    printed = run("make_folds", paths, "--recipe", mine, "--batch-size", 32, "--show-recipe")
    assert contents(tmp_path) == before
    table = rows(printed)
    assert printed.startswith("recipe mine\n")
    assert table["seed"] == ["7", str(mine)]
    assert table["epochs"] == ["8", "cpu.toml (extended by mine.toml)"]
    assert table["num_folds"] == ["4", "cpu-quick.toml (extended by mine.toml)"]
    assert table["batch_size"] == ["32", "--batch-size of make_folds.sh"]
    assert table["warmup"] == ["0.05", "default"]
    assert re.search(r"  resnet18: learning_rate +0\.1 ", printed)
    assert set(Recipe.model_fields) - {"name"} <= set(table)
    lines = [line for line in printed.splitlines() if line.startswith(("seed ", "warmup "))]
    assert len({line.index(table[line.split()[0]][1]) for line in lines}) == 1, "the sources stand in one column"


def test_the_table_of_a_network_has_its_encoders_values_and_the_options(tiny) -> None:
    own = {ENCODER: {"learning_rate": 0.05, "epochs": 4}, "resnet18": {}}
    run("make_folds", tiny, "--encoders", json.dumps(own), "--warmup", 0.2)
    before = contents(tiny.folds)
    table = rows(run("train", tiny, ENCODER, 0, "--epochs", 9, "--show-recipe"))
    assert contents(tiny.folds) == before
    assert table["learning_rate"] == ["0.05", f"[encoders.{ENCODER}] of --encoders of make_folds.sh"]
    assert table["epochs"] == ["9", "--epochs of train.sh"]
    assert table["warmup"] == ["0.2", "--warmup of make_folds.sh"]
    assert table["amp"] == ["auto", "default"]
    assert rows(run("train", tiny, "resnet18", "--show-recipe"))["epochs"][0] == "3"


def test_a_wrong_value_is_an_error_of_the_table_too(tiny) -> None:
    assert "--epochs: Input should be greater" in run_refused("train", tiny, "--epochs", 0, "--show-recipe")
    assert "(did you mean --epochs?)" in run_refused("make_folds", tiny, "--epoch=3", "--show-recipe")


def test_the_table_refuses_an_encoder_that_does_not_exist(tiny) -> None:
    assert "no encoder is called 'resnet43'" in run_refused("make_folds", tiny, "--encoders=resnet43", "--show-recipe")


def test_encoders_in_a_list_keep_the_values_that_they_have_in_the_recipe(tiny) -> None:
    run("make_folds", tiny, "--encoders", json.dumps({ENCODER: {"epochs": 4}, "resnet18": {"epochs": 5}}))
    table = run("make_folds", tiny, "--encoders", f"resnet34,{ENCODER}", "--show-recipe")
    assert f"  {ENCODER}: epochs " in table
    assert rows(table)["encoders"][0] == f"resnet34,{ENCODER}"
    run("make_folds", tiny, "--encoders", f"resnet34,{ENCODER}")
    assert recipe.read(tiny).encoders == {"resnet34": {}, ENCODER: {"epochs": 4}}
    run("make_folds", tiny, "--encoders", json.dumps({ENCODER: {"warmup": 0.1}}))
    assert recipe.read(tiny).encoders == {ENCODER: {"epochs": 4, "warmup": 0.1}}


def test_an_option_counts_for_encoders_that_have_a_value_of_their_own(tmp_path) -> None:
    paths = Paths.under(tmp_path)
    table = rows(run("make_folds", paths, "--recipe", "sample", "--amp", "bf16", "--show-recipe"))
    assert table["amp"] == ["bf16", "--amp of make_folds.sh"]
    assert "tu-tf_efficientnet_lite0: amp" not in " ".join(table)
    values = recipe_files.load("kaggle").with_options({"learning_rate": "0.1"})
    assert recipe.build(values).for_encoder("tu-convnext_tiny").learning_rate == 0.1
    both = {"learning_rate": "0.1", "encoders": {"resnet18": {"learning_rate": 0.2}, "resnet34": {}}}
    built = recipe.build(recipe_files.load("kaggle").with_options(both))
    assert [built.for_encoder(name).learning_rate for name in built.encoders] == [0.2, 0.1]


def test_without_a_recipes_name_options_change_the_recipe_in_use(tiny) -> None:
    run("make_folds", tiny, "--epochs", 5)
    run("make_folds", tiny, "--warmup", 0.3)
    values = recipe.read(tiny)
    assert (values.name, values.epochs, values.warmup) == ("tiny", 5, 0.3)


def test_naming_a_recipe_takes_its_file_and_drops_earlier_options(tiny, tmp_path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('extends = "sample"\nepochs = 2\n')
    run("make_folds", tiny, "--recipe", mine, "--warmup", 0.3)
    mine.write_text('extends = "sample"\nepochs = 6\n')
    run("make_folds", tiny, "--recipe", mine)
    values = recipe.read(tiny)
    assert (values.name, values.epochs, values.warmup) == ("mine", 6, 0.05)
