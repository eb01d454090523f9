"""Strips of one's own: the same masks as the submission's, measured and drawn."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
from support.commands import run_stage_alone
from support.exported_run import write_exported

from severstal.data import rle, strips
from severstal.data.labels import CLASSES, read_labels
from severstal.inference import outlines
from severstal.inference.inspection import Inspector, finding
from severstal.paths import Paths

ENGINE = ("--engine", "onnxruntime")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Paths:
    return write_exported(tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="module")
def inspected(run) -> pd.DataFrame:
    done = run_stage_alone("inspect_strips", run, run.test_images, *ENGINE)
    assert "3 overlays" in done.stdout
    return pd.read_csv(run.inspected.table).set_index("ImageId")


def test_areas_are_those_of_the_submission(run, inspected) -> None:
    run_stage_alone("predict", run, *ENGINE)
    codes = read_labels(run.submission, 64, 96, strips.listing(run.test_images))
    for image, found in codes.items():
        for defect in CLASSES:
            area = int(rle.decode(found.get(defect, ""), 64, 96).sum())
            assert inspected.loc[image, f"class_{defect}_area_px"] == area
            assert inspected.loc[image, f"class_{defect}_area_percent"] == pytest.approx(
                100 * area / (64 * 96), abs=1e-3
            )
    areas = inspected[[f"class_{defect}_area_px" for defect in CLASSES]].to_numpy()
    assert areas[:, :3].any(), "strips without a defect would prove nothing"
    assert not areas[:, 3].any(), "a class that is nowhere found must be counted as 0"


def test_an_overlay_differs_from_its_strip_where_the_defects_are(run, inspected) -> None:
    for image in strips.listing(run.test_images):
        drawn = cv2.imread(str(run.inspected.overlay(image)))
        strip = strips.read(run.test_images / image)
        assert drawn.shape == (64, 96, 3)
        coloured = np.abs(drawn.astype(int) - strip[..., None]).max(axis=2) > 60
        area = inspected.loc[image, [f"class_{defect}_area_px" for defect in CLASSES]].sum()
        assert coloured.any() == (area > 0)


def test_the_drawing_touches_only_the_mask_and_its_border() -> None:
    strip, masks = np.full((64, 96), 120, dtype=np.uint8), np.zeros((4, 64, 96), dtype=bool)
    masks[1, 20:40, 30:60] = True
    made = outlines.draw(strip, masks)
    changed = (made != 120).any(axis=2)
    around = cv2.dilate(masks[1].astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    assert changed[masks[1]].all()
    assert not changed[~around].any()
    assert tuple(made[20, 45].tolist()) == outlines.bgr(2)


def test_a_finding_by_hand() -> None:
    made, probability = np.zeros((10, 20), dtype=bool), np.zeros((10, 20), dtype=np.uint8)
    made[1:3, 1:4], made[6:8, 10:12] = True, True
    probability[1:3, 1:4], probability[6:8, 10:12] = 255, 102
    one = finding(3, made, probability)
    assert (one.defect, one.defects, one.area, one.share) == (3, 2, 10, 10 / 200)
    assert one.confidence == pytest.approx((6 * 1 + 4 * 0.4) / 10)


def test_one_file_can_be_looked_at_and_the_output_named(run, tmp_path) -> None:
    image = strips.listing(run.test_images)[1]
    run_stage_alone("inspect_strips", run, run.test_images / image, "--output", tmp_path / "out", *ENGINE)
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == [f"{image.removesuffix('.jpg')}_defects.jpg", "defects.csv"]


def test_networks_that_take_too_long_are_left_out_but_one(run) -> None:
    inspector = Inspector(run, "onnxruntime")
    assert len(inspector.names) == 2
    inspector.seconds = [0.4, 0.3]
    inspector.fit_to_budget(0.5)
    assert inspector.names == ["tu-mobilenetv4_conv_small fold 0"]
    inspector = Inspector(run, "onnxruntime")
    inspector.seconds = [0.4, 0.3]
    inspector.fit_to_budget(0.1)
    assert inspector.names == ["tu-mobilenetv4_conv_small fold 1"]
    strip = strips.read(run.test_images / strips.listing(run.test_images)[0])
    assert inspector.look(strip).masks.shape == (4, 64, 96)


@pytest.mark.parametrize("case", ["missing", "no JPEG", "size", "same folder", "twins"])
def test_bad_input_is_named_with_its_cure(run, tmp_path, case) -> None:
    given, said, more = tmp_path / "given", "", []
    given.mkdir()
    if case == "missing":
        given, said = given / "none.jpg", "none.jpg is missing"
    elif case == "no JPEG":
        (given / "strip.jpg").write_bytes(b"no picture")
        said = "strip.jpg is no JPEG"
    elif case == "size":
        cv2.imwrite(str(given / "strip.jpg"), np.zeros((32, 96), dtype=np.uint8))
        said = "strip.jpg is 32x96"
    else:
        image = run.test_images / strips.listing(run.test_images)[0]
        shutil.copy(image, given / "a.jpg")
        if case == "twins":
            shutil.copy(image, given / "a.jpeg")
            said = "overlays share a name"
        else:
            more, said = ["--output", given], "choose another folder"
    before = sorted(given.glob("*"))
    done = run_stage_alone(
        "inspect_strips", run, given, *(more or ["--output", tmp_path / "out"]), *ENGINE, check=False
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(given.glob("*")) == before
    assert not (tmp_path / "out" / "defects.csv").exists()
