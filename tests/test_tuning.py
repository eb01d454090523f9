"""Post-processing and tuning against plain, slow code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from severstal import tuning
from severstal.metric import dice
from severstal.postprocess import Cut, mask


def plain_mask(probability: np.ndarray, cut: Cut) -> np.ndarray:
    """Flood fill, pixel by pixel."""
    above, kept = probability >= cut.threshold, np.zeros(probability.shape, dtype=bool)
    left = {(int(y), int(x)) for y, x in np.argwhere(above)}
    while left:
        component, frontier = set(), [left.pop()]
        while frontier:
            y, x = frontier.pop()
            component.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            frontier.extend(near)
        if len(component) >= cut.min_area:
            for pixel in component:
                kept[pixel] = True
    return kept


probabilities = arrays(np.uint8, (7, 9), elements=st.sampled_from([0, 60, 128, 129, 255]))


@given(probabilities, st.sampled_from([1, 60, 61, 128, 129, 255]), st.integers(0, 12))
def test_mask_equals_a_flood_fill(probability: np.ndarray, threshold: int, min_area: int) -> None:
    cut = Cut(threshold=threshold, min_area=min_area)
    assert np.array_equal(mask(probability, cut), plain_mask(probability, cut))


def test_corners_connect_and_the_smallest_area_is_kept() -> None:
    probability = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 0], [0, 0, 200]], dtype=np.uint8)
    assert mask(probability, Cut(threshold=128, min_area=2)).sum() == 2
    assert mask(probability, Cut(threshold=128, min_area=3)).sum() == 0
    assert mask(probability, Cut(threshold=200, min_area=0)).sum() == 3
    assert mask(probability, Cut(threshold=201, min_area=0)).sum() == 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_every_cell_of_the_grid_is_the_dice_that_prediction_would_get(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probability = np.clip(np.cumsum(rng.normal(0, 25, (40, 60)), axis=1) + 90, 0, 255).astype(np.uint8)
    truth = rng.random((40, 60)) < rng.choice([0, 0.3])
    cells = tuning.grid(probability, truth)
    for _ in range(12):
        t, a = rng.integers(len(tuning.THRESHOLDS)), rng.integers(len(tuning.MIN_AREAS))
        cut = Cut(threshold=int(tuning.THRESHOLDS[t]), min_area=int(tuning.MIN_AREAS[a]))
        assert cells[t, a] == dice(mask(probability, cut), truth)


def strips_of(rng: np.random.Generator, count: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    maps, truths = {}, {}
    for number in range(count):
        truth = np.zeros((4, 32, 64), dtype=bool)
        if number % 2:
            truth[:, 8:24, 10:40] = True
        noise = rng.normal(0, 40, truth.shape)
        maps[str(number)] = np.clip(truth * 150 + 40 + noise, 0, 255).astype(np.uint8)
        truths[str(number)] = truth
    return maps, truths


def sums_of(maps: dict[str, np.ndarray], truths: dict[str, np.ndarray]) -> np.ndarray:
    return tuning.sums_of_fold(list(maps), maps.__getitem__, truths.__getitem__, workers=2)


def test_tuned_is_the_score_of_the_chosen_values_and_honest_of_the_others_choice() -> None:
    rng = np.random.default_rng(1)
    parts = [strips_of(rng, 6) for _ in range(3)]
    sums = [sums_of(*part) for part in parts]
    result = tuning.tune(np.stack(sums), [6, 6, 6])

    def score(chosen_on: list[int], fold: int) -> np.ndarray:
        """Dice of one fold's strips by prediction's own code, with values chosen on other folds."""
        cuts = tuning.tune(np.stack([sums[k] for k in chosen_on]), [6] * len(chosen_on)).cuts
        maps, truths = parts[fold]
        made = [[mask(one, cut) for one, cut in zip(maps[image], cuts, strict=True)] for image in maps]
        return dice(np.array(made), np.stack(list(truths.values())))

    tuned = np.concatenate([score([0, 1, 2], fold) for fold in range(3)])
    honest = np.concatenate([score([k for k in range(3) if k != fold], fold) for fold in range(3)])
    assert result.tuned.classes == pytest.approx(tuned.mean(axis=0))
    assert result.honest.classes == pytest.approx(honest.mean(axis=0))
    assert result.tuned.mean >= max(result.default.mean, result.honest.mean) - 1e-12
    assert result.all_empty.mean == 0.5


def test_a_class_that_never_occurs_is_predicted_empty() -> None:
    rng = np.random.default_rng(0)
    maps = {str(i): rng.integers(0, 140, (4, 32, 64), dtype=np.uint8) for i in range(4)}
    truths = {image: np.zeros((4, 32, 64), dtype=bool) for image in maps}
    result = tuning.tune(np.stack([sums_of(maps, truths)] * 2), [4, 4])
    assert result.tuned.mean == 1
    assert not any(mask(one, cut).any() for image in maps for one, cut in zip(maps[image], result.cuts, strict=True))
