"""The report: its numbers by hand, and its page in a real browser."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from support.commands import run_stage_alone
from support.finished_run import FALSE_ALARM, MISSED, write_finished

from severstal import console, recipe
from severstal.artifacts import write_json
from severstal.console import Stage
from severstal.data.out_of_fold import EnsembleMaps
from severstal.data.training_set import read_training_set
from severstal.experiment import all_members
from severstal.inference import outlines
from severstal.paths import Paths
from severstal.postprocess import tuned_values
from severstal.postprocess.ensemble_mean import mean_map
from severstal.report import facts, gallery, mistakes
from severstal.report.strip_study import Study, compare
from severstal.synthetic import dataset


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Paths:
    paths = write_finished(tmp_path_factory.mktemp("finished"))
    done = run_stage_alone("report", paths)
    assert "wrote" in done.stdout
    return paths


@pytest.fixture
def copy(run, tmp_path) -> Paths:
    """A run of one's own to change."""
    root = tmp_path / "copy"
    shutil.copytree(run.input.parent, root)
    return Paths(root / "input", root / "folds", root / "submissions")


@pytest.fixture
def told(run) -> dict:
    return json.loads(run.report_facts.read_text())


# ---- the numbers


def test_known_mistakes_are_told(told) -> None:
    second, third = told["mistakes"]["2"], told["mistakes"]["3"]
    assert (second["with_defect"], second["found"], second["missed"], second["false_alarms"]) == (2, 1, 1, 0)
    assert (third["found"], third["missed"], third["false_alarms"], third["false_alarms_on_clean"]) == (2, 0, 1, 1)
    assert told["mistakes"]["clean"] == {"strips": 4, "false_alarms": 1}
    assert second["lost"]["missed"] == pytest.approx(1 / 12)
    assert third["lost"]["false_alarms"] == pytest.approx(1 / 12)


def test_losses_add_up_to_what_the_tuned_score_lacks(told) -> None:
    for defect in "1234":
        lost = sum(told["mistakes"][defect]["lost"].values())
        assert 1 - lost == pytest.approx(told["scores"]["tuned"][defect], abs=1e-9)


def test_folds_average_to_the_scores_of_all(told) -> None:
    for name in ("default", "tuned", "nested"):
        mean = sum(row["strips"] * row[name]["mean"] for row in told["folds"]) / told["run"]["strips"]
        assert mean == pytest.approx(told["scores"][name]["mean"], abs=1e-9)


def test_engines_of_an_earlier_export_are_left_out(told) -> None:
    assert [(row["engine"], row["fold"], row["parity"]["largest"]) for row in told["engines"]] == [
        ("openvino", 0, 1),
        ("openvino", 1, 1),
        ("openvino", 0, 2),
        ("openvino", 1, 2),
    ]


def test_layers_that_an_engine_keeps_in_float32_are_named(run, told) -> None:
    assert [row["kept"] for row in told["engines"]] == [None, None, *[["node_first", "node_last"]] * 2]
    page = run.report_page.read_text()
    assert page.count("<td>node_first, node_last</td>") == 2


def test_an_encoder_alone_scores_what_its_own_maps_score(run, told) -> None:
    source = facts.Sources.read(run)
    without = replace(
        source,
        values=source.values.model_copy(update={"ensemble_weights": dict.fromkeys(source.values.ensemble_weights, 1)}),
    )
    alone = {row["encoder"]: row["alone"] for row in told["ensemble"]}
    for encoder in source.values.ensemble_weights:
        one = source.values.model_copy(
            update={"ensemble_weights": {e: int(e == encoder) for e in source.values.ensemble_weights}}
        )
        dice = replace(without, values=one).study().dice.mean()
        assert alone[encoder] == pytest.approx(dice)
    assert len(set(alone.values())) == 2, "encoders that score alike would prove nothing"


def test_the_missed_and_the_made_up_defect_are_shown(told) -> None:
    shown = {one["image"]: one for one in told["strips"] if one["group"] != "test"}
    assert shown[MISSED]["role"] == "worst"
    assert shown[MISSED]["classes"]["2"] == {"truth": 800, "predicted": 0, "dice": 0.0, "nested": 0.0}
    assert shown[FALSE_ALARM]["classes"]["3"]["truth"] == 0
    assert shown[FALSE_ALARM]["classes"]["3"]["predicted"] == 1600
    names = [one["image"] for one in told["strips"] if one["group"] != "test"]
    assert len(names) == len(set(names))


def test_test_strips_come_with_the_submissions_masks(told) -> None:
    test = [one for one in told["strips"] if one["group"] == "test"]
    assert len(test) == 5
    assert test[0]["classes"] == {"4": {"predicted": 800}}
    assert told["classes"]["4"]["test_strips"] == 1


def test_wrong_pixels_near_the_border() -> None:
    truth, predicted = np.zeros((64, 96), dtype=bool), np.zeros((64, 96), dtype=bool)
    truth[20:40, 20:60] = True
    predicted[20:40, 22:60] = True  # two columns short: near the border
    predicted[0:3, 80:90] = True  # thirty pixels far away
    assert compare(predicted, truth) == (800, 20 * 38 + 30, 20 * 38, 40)
    assert compare(predicted, np.zeros_like(truth)) == (0, 20 * 38 + 30, 0, 0)


def study_of(**changed) -> Study:
    nothing = np.zeros((3, 4), dtype=np.int64)
    levels = np.zeros((4, 256), dtype=np.int64)
    plain = Study(
        list("abc"), np.zeros(3, int), *[nothing] * 4, np.zeros((1, 3, 4)), np.zeros((1, 3, 4)), levels, levels
    )
    return replace(plain, **changed)


def test_reliability_by_hand() -> None:
    pixels, hits = np.zeros((4, 256), dtype=np.int64), np.zeros((4, 256), dtype=np.int64)
    pixels[0, 0], pixels[0, 51], pixels[0, 204], hits[0, 204] = 1000, 30, 10, 5
    found = mistakes.reliability(study_of(pixels=pixels, hits=hits))["1"]
    assert [(row["bin"], row["pixels"]) for row in found["bins"]] == [(2, 30), (8, 10)]
    assert [row["told"] for row in found["bins"]] == pytest.approx([0.2, 0.8])
    assert [row["true"] for row in found["bins"]] == [0.0, 0.5]
    assert found["gap"] == pytest.approx((30 * 0.2 + 10 * 0.3) / 40)
    assert mistakes.reliability(study_of())["1"] == {"bins": [], "gap": None}


def test_chosen_strips_are_the_worst_the_median_and_the_best() -> None:
    truth, overlap = np.zeros((9, 4), dtype=np.int64), np.zeros((9, 4), dtype=np.int64)
    truth[:7, 0], overlap[:7, 0] = 100, (90, 10, 50, 0, 70, 100, 30)
    seen = study_of(images=list("abcdefghi"), truth=truth, predicted=truth.copy(), overlap=overlap)
    chosen = {role: number for number, group, role in gallery.choose(seen) if group == "class-1"}
    assert (chosen["worst"], chosen["best"]) == (3, 5)
    assert chosen["median"] in (2, 4)
    assert chosen["random"] not in (chosen["worst"], chosen["median"], chosen["best"])
    assert [number for number, group, _ in gallery.choose(seen) if group == "clean"] == [7, 8]


def test_an_outline_runs_along_the_masks_edge_and_around_its_hole() -> None:
    mask = np.zeros((20, 30), dtype=bool)
    mask[4:16, 5:25] = True
    mask[8:12, 10:20] = False
    loops = [
        np.array(re.findall(r"([\d.]+) ([\d.]+)", loop), dtype=float)
        for loop in outlines.svg_path(mask).split("Z")[:-1]
    ]
    assert len(loops) == 2
    outer, hole = sorted(loops, key=lambda loop: -np.ptp(loop))
    assert np.abs([*outer.min(axis=0), *outer.max(axis=0)] - np.array([5, 4, 25, 16])).max() <= 0.25
    assert np.abs([*hole.min(axis=0), *hole.max(axis=0)] - np.array([10, 8, 20, 12])).max() <= 0.75
    assert outlines.svg_path(np.zeros((4, 4), dtype=bool)) == ""


# ---- the stage


def test_it_is_left_alone_when_up_to_date_and_made_anew_when_a_source_changed(copy) -> None:
    first = run_stage_alone("report", copy)
    assert "cached " in first.stdout
    log = all_members(copy, recipe.read(copy.recipe))[0].files.log
    log.write_text(log.read_text().replace('"epoch": 3', '"epoch": 33'))
    assert "wrote" in run_stage_alone("report", copy).stdout
    assert "cached " in run_stage_alone("report", copy).stdout


def test_made_up_steel_is_called_so_on_the_page(run, copy) -> None:
    assert "synthetic steel" not in run.report_page.read_text()
    dataset.artifact(copy.input, 12, 5, 0).write_record()
    run_stage_alone("report", copy)
    text = copy.report_page.read_text()
    assert '<strong class="badge" id="synthetic">synthetic steel</strong>' in text
    assert "<title>Synthetic steel" in text


def test_a_submission_from_before_tuning_is_refused(copy) -> None:
    record = json.loads(copy.submission_report.read_text())
    record["rules"][0]["threshold"] -= 1
    write_json(copy.submission_report, record)
    done = run_stage_alone("report", copy, check=False)
    assert done.returncode == 2
    assert "bash bin/predict.sh" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["log.jsonl", "strips.csv"])
def test_a_damaged_record_is_named(copy, name) -> None:
    damaged = copy.strip_scores if name == "strips.csv" else all_members(copy, recipe.read(copy.recipe))[0].files.log
    damaged.write_text("{nothing")
    done = run_stage_alone("report", copy, check=False)
    assert done.returncode == 2
    assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_the_time_of_a_stage_that_had_nothing_to_do_does_not_count(tiny) -> None:
    idle = Stage("tune", tiny)
    idle.done()
    assert not tiny.times.exists()
    busy = Stage("tune", tiny)
    busy.wrote("a file")
    busy.done()
    kept = tiny.times.read_bytes()
    assert console.read_times(tiny.times)["tune"]["seconds"] < 5
    Stage("tune", tiny).done()
    elsewhere = Stage("tune", tiny)
    elsewhere.wrote("a file")
    elsewhere.done(keep_time=False)
    assert tiny.times.read_bytes() == kept


# ---- the page, in a browser


@pytest.fixture(params=[(1400, "light"), (390, "dark")], ids=["wide and light", "phone and dark"])
def page(run, browser, request) -> Iterator:
    """The report from disk; whatever the browser complains of, or fetches, fails the test."""
    width, scheme = request.param
    opened = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    complaints, fetched = [], []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: fetched.append(request.url))
    opened.goto(run.report_page.as_uri())
    yield opened
    assert not complaints
    assert [url for url in fetched if not url.startswith("data:")] == [run.report_page.as_uri()]
    opened.close()


def value_at(told: dict, path: str):
    for key in path.split("."):
        told = told[int(key)] if isinstance(told, list) else told[key]
    return told


def test_every_number_shown_is_the_files(page, told) -> None:
    shown = page.eval_on_selector_all(
        "[data-fact]", "all => all.map(one => [one.dataset.fact, one.dataset.form, one.textContent])"
    )
    assert len(shown) > 150
    for path, form, text in shown:
        value = value_at(told, path)
        assert text == ("\N{EN DASH}" if value is None else format(value, form)), path
    paths = {path for path, _, _ in shown}
    for name in ("all_empty", "default", "tuned", "nested"):
        assert {f"scores.{name}.{key}" for key in ("mean", "1", "2", "3", "4")} <= paths
    assert page.inner_text("#nested") == format(told["scores"]["nested"]["mean"], ".4f")


def test_nothing_sticks_out_and_colours_follow_the_scheme(page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    paper = [int(part) for part in re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))]
    assert (sum(paper) < 300) == dark


def shown_layer(page, layer: str) -> bool:
    return page.eval_on_selector(f".shown:not([hidden]) .{layer}", "one => getComputedStyle(one).display !== 'none'")


def test_toggles_toggle_by_mouse_and_by_key(page) -> None:
    for box, key, layer in (("#show-truth", "t", "truth"), ("#show-predicted", "p", "predicted")):
        assert shown_layer(page, layer)
        page.click(f"label:has({box})")
        assert not shown_layer(page, layer)
        page.keyboard.press(key)
        assert shown_layer(page, layer)


def test_it_opens_with_the_class_that_was_found_most(page, told) -> None:
    found = {f"class-{defect}": told["mistakes"][defect]["found"] for defect in "1234"}
    opened = page.input_value("input[name=group]:checked")
    assert found[opened] == max(found.values()) > 0
    assert page.eval_on_selector_all(".shown:not([hidden])", "all => all.map(one => one.dataset.group)") == [
        one["group"] for one in told["strips"] if one["group"] == opened
    ]


def test_a_group_shows_its_strips_alone(page, told) -> None:
    for group in {one["group"] for one in told["strips"]}:
        page.check(f"input[value={group}]", force=True)
        visible = page.eval_on_selector_all(".shown:not([hidden])", "all => all.map(one => one.dataset.group)")
        assert visible == [one["group"] for one in told["strips"] if one["group"] == group]


PAINTED = """() => [...document.querySelectorAll('.shown:not([hidden]) canvas')].map(canvas =>
    canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data
        .filter((value, i) => i % 4 == 3 && value).length)"""


def test_the_probability_map_is_painted_from_the_sliders_value_up(page, run, told) -> None:
    page.check("input[value=class-1]", force=True)
    assert not shown_layer(page, "strip canvas")
    page.keyboard.press("m")
    assert shown_layer(page, "strip canvas")
    for percent in (10, 50):
        page.eval_on_selector("#least", f"one => {{ one.value = {percent}; one.dispatchEvent(new Event('input')) }}")
        assert page.inner_text("#least-told") == f"{percent} %"
        shown = [one for one in told["strips"] if one["group"] == "class-1"]
        expected = [int(np.any(averaged(run, one) >= 255 * percent / 100, axis=0).sum()) for one in shown]
        page.wait_for_function(f"expected => JSON.stringify(({PAINTED})()) === JSON.stringify(expected)", arg=expected)


def averaged(run: Paths, one: dict) -> np.ndarray:
    source = EnsembleMaps(read_training_set(run), all_members(run, recipe.read(run.recipe)))
    return mean_map(
        source.maps(one["fold"], one["image"]), list(tuned_values.read(run.postprocess).ensemble_weights.values())
    )


def test_pointing_at_a_pixel_tells_its_probabilities(page, run, told) -> None:
    one = next(one for one in told["strips"] if one["group"] == "class-1" and one["classes"]["1"]["predicted"])
    page.check("input[value=class-1]", force=True)
    figure = page.locator(f".shown[data-number='{told['strips'].index(one)}']")
    figure.scroll_into_view_if_needed()
    box = figure.locator(".strip").bounding_box()
    column, row = 33, 31
    page.mouse.move(box["x"] + box["width"] * (column + 0.5) / 96, box["y"] + box["height"] * (row + 0.5) / 64)
    expected = averaged(run, one)[:, row, column]
    classes = ", ".join(f"class {c + 1} {int(100 * int(level) / 255 + 0.5)} %" for c, level in enumerate(expected))
    page.wait_for_function(
        "([number, text]) => document.querySelector(`.shown[data-number='${number}'] .readout`).textContent === text",
        arg=[str(told["strips"].index(one)), f"column {column}, row {row}: {classes}"],
    )


def test_everything_can_be_reached_with_the_tab_key(page) -> None:
    page.evaluate("document.querySelector('nav a').focus()")
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.id || document.activeElement.className || document.activeElement.name"
            )
        )
    assert {"show-truth", "show-predicted", "show-probability", "zoom", "group", "scroller", "wide"} <= reached
