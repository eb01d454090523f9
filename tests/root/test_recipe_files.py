"""Recipe files: TOML that may extend another recipe; a mistake is named with its file, line and cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from severstal import recipe, recipe_files
from severstal.errors import InputError


def write(folder: Path, **texts: str) -> Path:
    """A file per name; the last one's path."""
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(text)
    return folder / f"{list(texts)[-1]}.toml"


def test_every_recipe_of_the_project_is_valid_and_says_what_it_is_for() -> None:
    assert recipe_files.names() == ["cpu", "cpu-quick", "kaggle", "kaggle-quick", "sample", "synthetic"]
    for name in recipe_files.names():
        assert recipe.named(name).name == name
        assert (recipe_files.FOLDER / f"{name}.toml").read_text().startswith("# ")


def test_a_file_sets_what_differs_from_the_recipes_that_it_extends(tmp_path) -> None:
    file = write(
        tmp_path,
        base='extends = "cpu-quick"\nepochs = 7\nseed = 3\n',
        mine='extends = "base.toml"  # beside this file\nepochs = 9\nencoders = ["resnet18", "resnet34"]\n',
    )
    values, quick = recipe.named(str(file)), recipe.named("cpu-quick")
    assert (values.name, values.epochs, values.seed, values.downscale) == ("mine", 9, 3, quick.downscale)
    assert list(values.encoders) == ["resnet18", "resnet34"]
    loaded = recipe_files.load(str(file))
    assert loaded.label("epochs") == str(file)
    assert loaded.label("seed") == f"{tmp_path}/base.toml (extended by mine.toml)"
    assert loaded.label("downscale") == "cpu-quick.toml (extended by mine.toml)"
    assert loaded.label("weight_decay") == "default"


def test_encoders_that_a_file_names_keep_the_values_of_the_extended_recipe(tmp_path) -> None:
    file = write(
        tmp_path,
        base='extends = "kaggle"\n[encoders.resnet18]\nepochs = 5\nwarmup = 0.1\n[encoders.tu-convnext_tiny]\n',
        mine='extends = "base.toml"\n[encoders.tu-convnext_tiny]\n[encoders.resnet18]\nepochs = 6\n',
    )
    values = recipe.named(str(file))
    assert values.encoders == {"tu-convnext_tiny": {"learning_rate": 3e-4}, "resnet18": {"epochs": 6, "warmup": 0.1}}
    own = recipe_files.load(str(file)).for_encoder("resnet18")
    assert own.label("epochs") == f"[encoders.resnet18] of {file}"
    assert own.label("warmup") == f"[encoders.resnet18] of {tmp_path}/base.toml (extended by mine.toml)"


def test_paths_are_relative_to_the_file_of_the_recipe(tmp_path, monkeypatch) -> None:
    (tmp_path / "recipes").mkdir()
    text = 'extends = "kaggle"\nencoder_weights = "w.pt"\npseudo_labels = "../labels"\n'
    text += '[encoders.resnet18]\npseudo_labels = "own"\n'
    file = write(tmp_path / "recipes", mine=text)
    monkeypatch.chdir("/")
    values = recipe.named(str(file))
    assert values.pseudo_labels == str(tmp_path / "labels")
    assert values.encoder_weights == str(tmp_path / "recipes" / "w.pt")
    assert values.for_encoder("resnet18").pseudo_labels == str(tmp_path / "recipes" / "own")
    kaggle = recipe.named("kaggle")
    assert (kaggle.pseudo_labels, kaggle.encoder_weights) == ("none", "imagenet")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'extends = "cpu"\nepoch = 3\n',
            r"mine\.toml, line 2: epoch: there is no such value \(did you mean epochs\?\)",
        ),
        ('extends = "cpu"\n\n# longer\nepochs = 0\n', r"mine\.toml, line 4: epochs: Input should be greater"),
        ('extends = "cpu"\ntta = ["horizontal", "turned"]\n', r"mine\.toml, line 2: tta entry 2: Input should be"),
        ('extends = "cpu"\nepochs = \n', r"mine\.toml is no valid TOML: .*line 2"),
        ('extends = "cpu"\nepochs = 3\nepochs = 4\n', r"mine\.toml is no valid TOML: .*line 3"),
        ('extends = "cpu"\nname = "other"\n', r"mine\.toml, line 2: name: a recipe is called like its file"),
        ('extends = "kagle"\n', r"mine\.toml, line 1: extends: no recipe is called 'kagle' \(did you mean kaggle\?\)"),
        ('\nextends = "none.toml"\n', r"mine\.toml, line 2: extends: recipe .*none\.toml is missing"),
        ("extends = 3\n", r"mine\.toml, line 1: extends: must be the name or the path of one recipe"),
        ('extends = "mine.toml"\n', r"line 1: extends: .* circle \(mine\.toml extends mine\.toml\)"),
        ("epochs = 3\n", r"mine\.toml: encoders: Field required"),
        ("encoders = [1]\n", r"mine\.toml, line 1: encoders: Input should be a valid dictionary"),
        ('[encoders]\nresnet18 = "x"\n', r"mine\.toml, line 2: encoders\.resnet18: Input should be a valid dictionary"),
        (
            '[encoders.resnet18]\n[encoders."tu-x.in1k"]\nlr = 1\n',
            r"mine\.toml, line 3: encoders\.tu-x\.in1k\.lr: there is no such value",
        ),
        (
            "[encoders.resnet18]\nepochs = 0\n",
            r"mine\.toml, line 2: encoders\.resnet18\.epochs: Input should be greater",
        ),
        ("[encoders.resnet18]\nseed = 1\n", r"mine\.toml, line 2: encoders\.resnet18\.seed: it is the same for all"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_line(tmp_path, text, message) -> None:
    file = write(tmp_path, mine=text)
    with pytest.raises(InputError, match=message):
        recipe.named(str(file))


def test_a_mistake_of_an_extended_file_is_named_there(tmp_path) -> None:
    file = write(tmp_path, base='extends = "cpu"\n\nwarmup = 2.0\n', mine='extends = "base.toml"\n')
    with pytest.raises(InputError, match=r"base\.toml, line 3: warmup: Input should be less"):
        recipe.named(str(file))


def test_files_that_extend_each_other_are_refused(tmp_path) -> None:
    file = write(tmp_path, other='extends = "mine.toml"\n', mine='extends = "other.toml"\n')
    with pytest.raises(InputError, match=r"mine\.toml extends other\.toml extends mine\.toml\): remove one"):
        recipe.named(str(file))


def test_near_misses_of_a_name_or_a_file_are_suggested(tmp_path) -> None:
    write(tmp_path, mine='extends = "cpu"\n')
    with pytest.raises(InputError, match=r"no recipe is called 'kagle' \(did you mean kaggle\?\); there are cpu, "):
        recipe.named("kagle")
    with pytest.raises(InputError, match=r"mime\.toml is missing \(did you mean mine\.toml\?\)"):
        recipe.named(str(tmp_path / "mime.toml"))


def test_a_file_that_is_no_text_is_refused(tmp_path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"mine\.toml is no UTF-8 text"):
        recipe.named(str(tmp_path / "mine.toml"))
