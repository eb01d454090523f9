"""Dice against the number of labelled strips: what is trained on, what is scored, and the table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.experiments import write_random_weights, write_tiny
from support.training import job

from benchmarks.few_labels import summary, trial
from benchmarks.few_labels.__main__ import main
from benchmarks.few_labels.labelled_strips import LabelledStrips, write_training_set
from benchmarks.few_labels.trial import Runner, score
from severstal.artifacts import write_json
from severstal.data.labels import masks
from severstal.data.training_set import read_training_set
from severstal.paths import Paths
from severstal.postprocess.classifier import ClassifierUse
from severstal.postprocess.rules import MaskArea


@pytest.fixture
def mill(tmp_path) -> Paths:
    """Twelve labelled strips, none with a name of ``tiny``."""
    paths = write_tiny(tmp_path / "mill")
    for file in paths.train_images.iterdir():
        file.rename(file.with_name(f"mill{file.name}"))
    frame = pd.read_csv(paths.train_csv)
    frame.assign(ImageId="mill" + frame["ImageId"]).to_csv(paths.train_csv, index=False)
    return paths


def test_each_way_of_training_is_scored_once(tiny, mill, tmp_path, monkeypatch, capsys) -> None:
    write_json(tiny.synthetic_marker, {})
    pretrained = job(tiny)
    write_random_weights(pretrained.member, pretrained.new_config())
    arguments = f"few_labels --input {mill.input} --from {tiny.folds} --output {tmp_path / 'curve'} --num-folds 2"
    options = "--labelled 0 3 --steps 2 --mixed 0 4 --seeds 5 --jobs 1"
    monkeypatch.setattr("sys.argv", f"{arguments} {options}".split())
    claimed = []
    monkeypatch.setattr(trial, "claim_gpu", lambda: claimed.append("a GPU"))
    main()
    assert len(claimed) == 4, "each trial takes a GPU of its own where there are several"
    rows = pd.read_csv(tmp_path / "curve" / "rows.csv", dtype={"network": str}, keep_default_na=False)
    is_pretrained = rows["network"] != ""
    found = [(*pair, start) for *pair, start in zip(rows["labelled"], rows["synthetic"], is_pretrained, strict=True)]
    assert found == [(0, 0, True), (3, 0, False), (3, 0, True), (3, 4, True)]
    draws = (rows["plain"] < 0.5).tolist()
    assert draws == is_pretrained.tolist(), "the pretrained network draws everywhere, an untrained one nowhere"
    assert rows["trained_on"].tolist() == [0, 3, 3, 3]
    assert (tmp_path / "curve" / "table.md").read_text().count("\n") == 2 + 1 + 2 + 2
    assert (tmp_path / "curve" / "curve.png").stat().st_size > 10_000
    assert not list((tmp_path / "curve" / "running").iterdir()), "a trial deletes its files"

    monkeypatch.setattr(Runner, "run", lambda *_: pytest.fail("trained a second time"))
    capsys.readouterr()
    main()
    assert "4 trainings, 4 of them done before" in capsys.readouterr().out


def test_no_strip_is_learned_and_scored_and_synthetic_ones_are_half(mill, tmp_path) -> None:
    source = LabelledStrips.read(mill, num_folds=3)
    held_out, chosen = source.held_out(1), source.choose(2, fold=1, seed=0)
    assert set(source.choose(99, fold=1, seed=0)) == set(source.labels) - set(held_out)
    assert len(chosen) == 2
    extra = sorted(mill.train_images.iterdir())[:6]
    paths = Paths.under(tmp_path / "trial")
    write_training_set(paths, source, held_out, chosen, extra, source.labels)
    data = read_training_set(paths)
    assert data.images(0, held_out=True) == held_out
    learned = data.images(0, held_out=False)
    assert sum(image.startswith("synthetic-") for image in learned) == 6
    assert sorted(image.partition("-")[2] for image in learned if image[0].isdigit()) == sorted(3 * chosen)
    assert data.labels[f"0-{chosen[0]}"] == source.labels[chosen[0]]


def test_scores_at_best_and_at_plain_values(tiny) -> None:
    data = read_training_set(tiny)
    truths = {image: masks(codes, 64, 96) for image, codes in data.labels.items()}
    rule = MaskArea(threshold=90, min_area=0, classifier=ClassifierUse(use="hard", min_probability=128))
    maps = [(image, np.where(truth, 100, 20).astype(np.uint8)) for image, truth in truths.items()]
    seen = score(((*found, np.full(4, 200, np.uint8)) for found in maps), data, rule)
    assert seen["best"] == seen["plain"] == 1
    row = score(((*found, np.full(4, 50, np.uint8)) for found in maps), data, rule)
    assert row["best"] == 1
    assert row["plain"] == row["empty"] == pytest.approx(1 - 8 / 48, abs=1e-4), "8 of 48 cells hold a defect"
    assert row["class_1"] == pytest.approx(1 - sum(truth[0].any() for truth in truths.values()) / 12, abs=1e-4)


def test_folds_count_by_their_strips_and_seeds_give_the_spread() -> None:
    common = {"synthetic": 0, "learning_rate": 1e-4, "steps": 40} | dict.fromkeys(summary.SCORES, 0.5)
    seeds = {0: (0.6, 0.9), 1: (0.8, 0.8)}
    rows = [
        common | {"network": "w", "labelled": 5, "trained_on": 5, "seed": seed, "held_out": size, "best": dice}
        for seed, scores in seeds.items()
        for size, dice in zip((2, 1), scores, strict=True)
    ]
    rows.append(common | {"network": "w", "labelled": 0, "trained_on": 0, "seed": 0, "held_out": 3, "best": 0.4})
    found = summary.summarise(pd.DataFrame(rows)).set_index("labelled")
    assert found.loc[5, "best"] == pytest.approx((0.7 + 0.8) / 2), "seed 0: (2 x .6 + .9) / 3"
    assert found.loc[5, "best_sd"] == pytest.approx(np.std([0.7, 0.8], ddof=1))
    assert found.loc[0, "best"] == pytest.approx(0.4)
    assert ".750 ± .071" in summary.markdown(found.reset_index())
