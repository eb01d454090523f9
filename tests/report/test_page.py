"""The report's page in a real browser, at the width of a desk and of a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from severstal import recipe
from severstal.data.out_of_fold import EnsembleMaps
from severstal.data.training_set import read_training_set
from severstal.experiment import all_members
from severstal.paths import Paths
from severstal.postprocess import tuned_values
from severstal.postprocess.ensemble_mean import mean_map


@pytest.fixture(scope="module", params=[(1400, "light"), (390, "dark")], ids=["wide and light", "phone and dark"])
def opened(run: Paths, browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The report from disk; a message on the browser's console or a request to the network fails the test."""
    width, scheme = request.param
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(run.report_page.as_uri())
    yield page
    assert not complaints
    assert {url for url in requests if not url.startswith("data:")} == {run.report_page.as_uri()}
    page.close()


@pytest.fixture
def page(opened: Any, run: Paths) -> Any:
    """The page as a reader opens it."""
    opened.goto(run.report_page.as_uri())
    return opened


def value_at(facts: dict[str, Any], path: str) -> Any:
    value: Any = facts
    for key in path.split("."):
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


def test_every_number_on_the_page_is_in_the_json_file(page, facts) -> None:
    shown = page.eval_on_selector_all(
        "[data-fact]", "all => all.map(span => [span.dataset.fact, span.dataset.form, span.textContent])"
    )
    assert len(shown) > 150
    for path, form, text in shown:
        value = value_at(facts, path)
        assert text == ("\N{EN DASH}" if value is None else format(value, form)), path
    paths = {path for path, _, _ in shown}
    for name in ("all_empty", "default", "tuned", "nested"):
        assert {f"scores.{name}.{key}" for key in ("mean", "1", "2", "3", "4")} <= paths
    assert page.inner_text("#nested") == format(facts["scores"]["nested"]["mean"], ".4f")


def test_the_page_fits_its_width_and_follows_the_colour_scheme(page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    paper = [int(part) for part in re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))]
    assert (sum(paper) < 300) == dark


def shown_layer(page, layer: str) -> bool:
    return page.eval_on_selector(
        f".gallery-strip:not([hidden]) .{layer}", "layer => getComputedStyle(layer).display !== 'none'"
    )


def test_layers_can_be_switched_with_the_mouse_and_the_keyboard(page) -> None:
    for box, key, layer in (("#show-truth", "t", "truth"), ("#show-predicted", "p", "predicted")):
        assert shown_layer(page, layer)
        page.click(f"label:has({box})")
        assert not shown_layer(page, layer)
        page.keyboard.press(key)
        assert shown_layer(page, layer)


def test_the_page_first_shows_the_class_that_is_found_most(page, facts) -> None:
    found = {f"class-{defect}": facts["errors"]["classes"][defect]["found"] for defect in "1234"}
    first = page.input_value("input[name=group]:checked")
    assert found[first] == max(found.values()) > 0
    assert page.eval_on_selector_all(
        ".gallery-strip:not([hidden])", "all => all.map(strip => strip.dataset.group)"
    ) == [strip["group"] for strip in facts["strips"] if strip["group"] == first]


def test_a_tab_shows_only_the_strips_of_its_group(page, facts) -> None:
    for group in {strip["group"] for strip in facts["strips"]}:
        page.check(f"input[value={group}]", force=True)
        visible = page.eval_on_selector_all(
            ".gallery-strip:not([hidden])", "all => all.map(strip => strip.dataset.group)"
        )
        assert visible == [strip["group"] for strip in facts["strips"] if strip["group"] == group]


PAINTED = """() => [...document.querySelectorAll('.gallery-strip:not([hidden]) canvas')].map(canvas =>
    canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data
        .filter((value, i) => i % 4 == 3 && value).length)"""


def test_the_probability_map_starts_at_the_value_of_the_slider(page, run, facts) -> None:
    page.check("input[value=class-1]", force=True)
    assert not shown_layer(page, "strip canvas")
    page.keyboard.press("m")
    assert shown_layer(page, "strip canvas")
    for percent in (10, 50):
        page.eval_on_selector(
            "#min-probability", f"slider => {{ slider.value = {percent}; slider.dispatchEvent(new Event('input')) }}"
        )
        assert page.inner_text("#min-probability-text") == f"{percent} %"
        shown = [strip for strip in facts["strips"] if strip["group"] == "class-1"]
        expected = [int(np.any(mean_probability(run, strip) >= 255 * percent / 100, axis=0).sum()) for strip in shown]
        page.wait_for_function(f"expected => JSON.stringify(({PAINTED})()) === JSON.stringify(expected)", arg=expected)


def mean_probability(run: Paths, strip: dict[str, Any]) -> np.ndarray:
    source = EnsembleMaps(read_training_set(run), all_members(run, recipe.read(run)))
    return mean_map(source.maps(strip["fold"], strip["image"]), list(tuned_values.read(run).ensemble_weights.values()))


def test_pointing_at_a_pixel_shows_its_probabilities(page, run, facts) -> None:
    strip = next(
        strip for strip in facts["strips"] if strip["group"] == "class-1" and strip["classes"]["1"]["predicted_area"]
    )
    page.check("input[value=class-1]", force=True)
    figure = page.locator(f".gallery-strip[data-number='{facts['strips'].index(strip)}']")
    figure.scroll_into_view_if_needed()
    box = figure.locator(".strip").bounding_box()
    column, row = 33, 31
    page.mouse.move(box["x"] + box["width"] * (column + 0.5) / 96, box["y"] + box["height"] * (row + 0.5) / 64)
    expected = mean_probability(run, strip)[:, row, column]
    classes = ", ".join(f"class {c + 1} {int(100 * int(level) / 255 + 0.5)} %" for c, level in enumerate(expected))
    page.wait_for_function(
        "([number, text]) => document.querySelectorAll('.readout')[number].textContent === text",
        arg=[facts["strips"].index(strip), f"column {column}, row {row}: {classes}"],
    )


def test_every_control_can_be_reached_with_the_tab_key(page) -> None:
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
