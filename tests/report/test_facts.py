"""The report's numbers, compared with the known errors of a finished run and with cases worked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.finished_run import FALSE_ALARM, MISSED

from severstal.report import gallery
from severstal.report.calibration import calibration_per_class
from severstal.report.evaluation import Evaluation, compare, evaluate
from severstal.report.sources import Sources


def test_the_known_missed_defect_and_false_positive_are_counted(facts) -> None:
    second, third = facts["errors"]["classes"]["2"], facts["errors"]["classes"]["3"]
    assert (second["with_defect"], second["found"], second["missed"], second["false_positives"]) == (2, 1, 1, 0)
    assert (third["found"], third["missed"], third["false_positives"], third["false_positives_on_clean"]) == (
        2,
        0,
        1,
        1,
    )
    assert facts["errors"]["clean_strips"] == {"strips": 4, "false_positives": 1}
    assert second["lost_dice"]["missed"] == pytest.approx(1 / 12)
    assert third["lost_dice"]["false_positives"] == pytest.approx(1 / 12)


def test_lost_dice_and_the_tuned_score_add_up_to_one(facts) -> None:
    for defect in "1234":
        lost = sum(facts["errors"]["classes"][defect]["lost_dice"].values())
        assert 1 - lost == pytest.approx(facts["scores"]["tuned"][defect], abs=1e-9)


def test_the_scores_of_the_folds_average_to_the_scores_of_the_run(facts) -> None:
    for name in ("default", "tuned", "nested"):
        mean = sum(row["strips"] * row[name]["mean"] for row in facts["folds"]) / facts["run"]["strips"]
        assert mean == pytest.approx(facts["scores"][name]["mean"], abs=1e-9)


def test_engines_of_an_earlier_export_are_left_out(facts) -> None:
    assert [(row["engine"], row["fold"], row["parity"]["largest"]) for row in facts["engines"]] == [
        ("openvino", 0, 1),
        ("openvino", 1, 1),
        ("openvino", 0, 2),
        ("openvino", 1, 2),
    ]


def test_layers_that_an_engine_keeps_in_float32_are_named(run, facts) -> None:
    assert [row["float32_layers"] for row in facts["engines"]] == [None, None, *[["node_first", "node_last"]] * 2]
    assert run.report_page.read_text().count("<td>node_first, node_last</td>") == 2


def test_an_encoders_own_score_is_that_of_an_ensemble_of_its_maps_alone(run, facts) -> None:
    sources = Sources.read(run)
    alone = {row["encoder"]: row["alone"] for row in facts["ensemble"]}
    for encoder in alone:
        weights = {name: int(name == encoder) for name in alone}
        values = sources.values.model_copy(update={"ensemble_weights": weights})
        assert alone[encoder] == pytest.approx(evaluate(sources.maps, values).dice.mean())
    assert len(set(alone.values())) == 2, "encoders with equal scores would prove nothing"


def test_the_missed_defect_and_the_false_positive_are_in_the_gallery(facts) -> None:
    training = [strip for strip in facts["strips"] if strip["group"] != "test"]
    strips = {strip["image"]: strip for strip in training}
    assert strips[MISSED]["role"] == "worst"
    missed = {"true_area": 800, "predicted_area": 0, "dice": 0.0, "nested_dice": 0.0}
    assert strips[MISSED]["classes"]["2"] == missed
    assert strips[FALSE_ALARM]["classes"]["3"]["true_area"] == 0
    assert strips[FALSE_ALARM]["classes"]["3"]["predicted_area"] == 1600
    assert len(strips) == len(training), "a strip is shown twice"


def test_test_strips_have_the_submissions_masks(facts) -> None:
    test = [strip for strip in facts["strips"] if strip["group"] == "test"]
    assert len(test) == 5
    assert test[0]["classes"] == {"4": {"predicted_area": 800}}
    assert facts["classes"]["4"]["test_strips"] == 1


def test_wrong_pixels_near_the_true_border_are_counted_apart() -> None:
    truth, predicted = np.zeros((64, 96), dtype=bool), np.zeros((64, 96), dtype=bool)
    truth[20:40, 20:60] = True
    predicted[20:40, 22:60] = True  # two columns short: near the border
    predicted[0:3, 80:90] = True  # thirty pixels far away
    assert compare(predicted, truth) == (800, 20 * 38 + 30, 20 * 38, 40)
    assert compare(predicted, np.zeros_like(truth)) == (0, 20 * 38 + 30, 0, 0)


def evaluation_of(**fields: object) -> Evaluation:
    """An evaluation of three strips without any defect or prediction, with these fields instead."""
    areas, levels, dice = np.zeros((3, 4), dtype=np.int64), np.zeros((4, 256), dtype=np.int64), np.zeros((1, 3, 4))
    return replace(Evaluation(list("abc"), np.zeros(3, int), *[areas] * 4, dice, dice, levels, levels), **fields)


def test_the_calibration_error_is_the_weighted_distance_of_its_bins() -> None:
    pixels, positives = np.zeros((4, 256), dtype=np.int64), np.zeros((4, 256), dtype=np.int64)
    pixels[0, 0], pixels[0, 51], pixels[0, 204], positives[0, 204] = 1000, 30, 10, 5
    calibration = calibration_per_class(evaluation_of(pixels=pixels, positives=positives))["1"]
    assert [(row["bin"], row["pixels"]) for row in calibration["bins"]] == [(2, 30), (8, 10)]
    assert [row["mean_probability"] for row in calibration["bins"]] == pytest.approx([0.2, 0.8])
    assert [row["positive_share"] for row in calibration["bins"]] == [0.0, 0.5]
    assert calibration["expected_calibration_error"] == pytest.approx((30 * 0.2 + 10 * 0.3) / 40)
    assert calibration_per_class(evaluation_of())["1"] == {"bins": [], "expected_calibration_error": None}


def test_the_gallery_shows_the_worst_the_median_and_the_best_strip_of_a_class() -> None:
    true_area, overlap = np.zeros((9, 4), dtype=np.int64), np.zeros((9, 4), dtype=np.int64)
    true_area[:7, 0], overlap[:7, 0] = 100, (90, 10, 50, 0, 70, 100, 30)
    evaluation = evaluation_of(
        images=list("abcdefghi"), true_area=true_area, predicted_area=true_area.copy(), overlap_area=overlap
    )
    selected = gallery.select_strips(evaluation)
    by_role = {strip.role: strip.index for strip in selected if strip.group == "class-1"}
    assert (by_role["worst"], by_role["best"]) == (3, 5)
    assert by_role["median"] in (2, 4)
    assert by_role["random"] not in (by_role["worst"], by_role["median"], by_role["best"])
    assert [strip.index for strip in selected if strip.group == "clean"] == [7, 8]
