"""The wide setting of the synthetic set: more kinds of steel, from the same plan and with the same masks' form."""

from __future__ import annotations

import numpy as np
import pytest
from support.commands import run_refused, run_stage_in_process

from severstal.errors import InputError
from severstal.paths import Paths
from severstal.synthetic import dataset, strip
from severstal.synthetic.plan import plan
from severstal.synthetic.surface import SHAPE
from severstal.synthetic.textures import TEXTURES
from severstal.synthetic.variety import VARIETIES


def draw(classes: tuple[int, ...], seed: int) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    return strip.draw(classes, np.random.default_rng(seed), np.random.default_rng(0), "wide")


@pytest.mark.parametrize("texture", [texture for texture, _ in TEXTURES], ids=lambda texture: texture.__name__)
def test_each_texture_changes_a_smooth_surface_and_depends_on_its_seed_alone(texture) -> None:
    surfaces = [np.ones(SHAPE, np.float32) for _ in range(3)]
    for surface, seed in zip(surfaces, (3, 3, 4), strict=True):
        texture(np.random.default_rng(seed), surface)
        assert surface.dtype == np.float32
        assert np.isfinite(surface).all()
        assert surface.std() > 0.003
    assert (surfaces[0] == surfaces[1]).all()
    assert (surfaces[0] != surfaces[2]).any()


@pytest.mark.parametrize("defect", [1, 3, 4])
def test_a_defect_changes_the_steel_inside_its_mask_only(defect) -> None:
    shares = []
    for seed in range(3):
        with_defect, masks = draw((defect,), seed)
        change = np.abs(with_defect.astype(float) - draw((), seed)[0])
        shares.append((change[masks[defect]] > 8).mean())
        assert (change[~masks[defect]] > 15).mean() < 0.01
    assert np.median(shares) > 0.03


def test_strips_of_the_two_settings_have_different_names() -> None:
    names = {name: {strip.name for strip in plan(64, 8, 0, variety.name_key)} for name, variety in VARIETIES.items()}
    assert not names["plain"] & names["wide"]


def test_the_stage_draws_wide_steel_and_keeps_it_apart_from_plain(tmp_path) -> None:
    paths = Paths.under(tmp_path)
    counts = ["--train", 2, "--test", 1, "--num-workers", 1]
    assert "wide, seed 0" in run_stage_in_process("make_input", paths, *counts, "--variety", "wide").stdout
    assert "   cached " in run_stage_in_process("make_input", paths, *counts, "--variety", "wide").stdout
    assert "variety" in run_refused("make_input", paths, *map(str, counts))
    with pytest.raises(InputError, match="holds"):
        dataset.write(paths.input, train=2, test=1, seed=0, variety="plain")


def test_a_recipe_says_which_steel_an_empty_input_folder_gets(tmp_path) -> None:
    (tmp_path / "mine.toml").write_text('extends = "synthetic"\nsynthetic_strips = 2\n')
    paths, of_recipe = Paths.under(tmp_path / "a"), ["--recipe", tmp_path / "mine.toml", "--test", 1]
    assert "2 train and 1 test strips, wide" in run_stage_in_process("make_input", paths, *of_recipe).stdout
    assert "   cached " in run_stage_in_process("make_input", paths, *of_recipe).stdout
    assert "train 2, now 3" in run_refused("make_input", paths, *map(str, of_recipe), "--synthetic-strips", "3")
    plain = ["--recipe", "sample"]  # asks for nothing special, so what is there may stay
    assert "left as it is" in run_stage_in_process("make_input", paths, *plain).stdout
