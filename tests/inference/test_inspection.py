"""Inspection of a user's own strips: what is measured, drawn and refused."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
from support.commands import run_stage_in_process

from severstal import Predictor
from severstal.data import strips
from severstal.data.labels import CLASSES
from severstal.inference import outlines
from severstal.paths import Paths

ENGINE = "--engine=onnxruntime"


@pytest.fixture(scope="module")
def run(exported, tmp_path_factory) -> Paths:
    return Paths(exported.input, exported.folds, tmp_path_factory.mktemp("inspection"))


@pytest.fixture(scope="module")
def inspected(run) -> pd.DataFrame:
    done = run_stage_in_process("inspect_strips", run, run.test_images, ENGINE)
    assert "3 overlays" in done.stdout
    return pd.read_csv(run.inspected.table).set_index("ImageId")


def test_the_table_holds_what_the_predictor_measures(run, inspected) -> None:
    predictor = Predictor(run.folds, "onnxruntime")
    for image in strips.listing(run.test_images):
        found, row = predictor.predict(run.test_images / image), inspected.loc[image]
        for defect in CLASSES:
            area = found.areas[defect - 1]
            assert row[f"class_{defect}_area_px"] == area
            assert row[f"class_{defect}_area_percent"] == pytest.approx(100 * area / (64 * 96), abs=1e-3)
            assert row[f"class_{defect}_defects"] == found.defect_counts[defect - 1]
            confidence = row[f"class_{defect}_confidence"]
            assert (
                np.isnan(confidence)
                if not area
                else confidence == pytest.approx(found.confidences[defect - 1], abs=1e-3)
            )
    areas = inspected[[f"class_{defect}_area_px" for defect in CLASSES]].to_numpy()
    assert areas[:, :3].any(), "strips without a defect would prove nothing"
    assert not areas[:, 3].any(), "a class that does not occur must be counted as 0"


def test_an_overlay_differs_from_its_strip_where_the_defects_are(run, inspected) -> None:
    for image in strips.listing(run.test_images):
        overlay = cv2.imread(str(run.inspected.overlay(image)))
        strip = strips.read(run.test_images / image)
        assert overlay.shape == (64, 96, 3)
        coloured = np.abs(overlay.astype(int) - strip[..., None]).max(axis=2) > 60
        area = inspected.loc[image, [f"class_{defect}_area_px" for defect in CLASSES]].sum()
        assert coloured.any() == (area > 0)


def test_the_drawing_touches_only_the_mask_and_its_border() -> None:
    strip, masks = np.full((64, 96), 120, dtype=np.uint8), np.zeros((4, 64, 96), dtype=bool)
    masks[1, 20:40, 30:60] = True
    picture = outlines.draw_outlines(strip, masks)
    changed = (picture != 120).any(axis=2)
    around = cv2.dilate(masks[1].astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    assert changed[masks[1]].all()
    assert not changed[~around].any()
    assert tuple(picture[20, 45].tolist()) == (0x00, 0x9E, 0x73), "the colour of class 2, in RGB"


def test_the_colours_of_a_picture_survive_its_jpeg_file() -> None:
    picture = np.full((16, 16, 3), (200, 100, 20), dtype=np.uint8)
    decoded = cv2.imdecode(np.frombuffer(outlines.encode_jpeg(picture), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(decoded[..., ::-1].astype(int) - picture).max() < 10


def test_one_file_can_be_inspected_and_the_output_named(run, tmp_path) -> None:
    image = strips.listing(run.test_images)[1]
    run_stage_in_process("inspect_strips", run, run.test_images / image, "--output", tmp_path / "out", ENGINE)
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == [f"{image.removesuffix('.jpg')}_defects.jpg", "defects.csv"]


@pytest.mark.parametrize("case", ["missing", "no JPEG", "size", "output among strips", "one overlay for two strips"])
def test_bad_input_is_named_with_its_cure(run, tmp_path, case) -> None:
    given, output, message = tmp_path / "given", tmp_path / "out", ""
    given.mkdir()
    if case == "missing":
        given, message = given / "none.jpg", "none.jpg is missing"
    elif case == "no JPEG":
        (given / "strip.jpg").write_bytes(b"no picture")
        message = "strip.jpg is no JPEG"
    elif case == "size":
        cv2.imwrite(str(given / "strip.jpg"), np.zeros((32, 96), dtype=np.uint8))
        message = "strip.jpg is 32x96"
    else:
        image = run.test_images / strips.listing(run.test_images)[0]
        shutil.copy(image, given / "a.jpg")
        output, message = given, "choose another folder"
        if case == "one overlay for two strips":
            shutil.copy(image, given / "a.jpeg")
            output, message = tmp_path / "out", "rename them"
    before = sorted(given.glob("*"))
    done = run_stage_in_process("inspect_strips", run, given, "--output", output, ENGINE, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert sorted(given.glob("*")) == before
    assert not (output / "defects.csv").exists()
