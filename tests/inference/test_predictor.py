"""The Python API: the masks of the submission from a path or an array, alone or in batches."""

from __future__ import annotations

import tomllib

import cv2
import numpy as np
import pytest
from support.commands import ROOT, run_python, run_stage_in_process
from support.experiments import SMALLEST

import severstal
from severstal import Predictor
from severstal.data import rle, strips
from severstal.data.labels import CLASSES, read_labels
from severstal.errors import InputError
from severstal.inference.strip_prediction import StripPrediction
from severstal.inference.time_budget import MemberTime
from severstal.paths import Paths

FIRST, SECOND = (f"{SMALLEST} fold {fold}" for fold in (0, 1))


@pytest.fixture(scope="module")
def predictor(exported) -> Predictor:
    return Predictor(exported.folds, "onnxruntime")


def images_of(exported) -> list:
    return [exported.test_images / name for name in strips.listing(exported.test_images)]


def test_masks_are_those_of_the_submission(exported, predictor, tmp_path) -> None:
    paths = Paths(exported.input, exported.folds, tmp_path)
    run_stage_in_process("predict", paths, "--engine=onnxruntime")
    codes = read_labels(paths.submission, 64, 96, strips.listing(exported.test_images))
    predictions = list(predictor.predict_many(images_of(exported), batch_size=2))
    for image, prediction in zip(images_of(exported), predictions, strict=True):
        expected = [rle.decode(codes[image.name].get(defect, ""), 64, 96) for defect in CLASSES]
        assert np.array_equal(prediction.masks, expected)
        assert prediction.classes == sorted(codes[image.name])
    assert any(prediction.classes for prediction in predictions), "strips without a defect would prove nothing"


def test_a_path_and_grey_and_colour_arrays_give_the_same(exported, predictor) -> None:
    path = images_of(exported)[0]
    grey = strips.read(path)
    expected = predictor.predict(path)
    assert expected.classes
    assert np.array_equal(expected.strip, grey)
    for image in (str(path), grey, np.stack([grey] * 3, axis=2)):
        prediction = predictor.predict(image)
        assert np.array_equal(prediction.probability_maps, expected.probability_maps)
        assert np.array_equal(prediction.masks, expected.masks)


def test_the_folder_that_holds_the_folds_folder_will_do(exported, predictor) -> None:
    other = Predictor(exported.folds.parent, "onnxruntime")
    assert other.members == predictor.members == [FIRST, SECOND]
    assert np.array_equal(other.predict(images_of(exported)[0]).masks, predictor.predict(images_of(exported)[0]).masks)


def test_the_example_of_the_documentation_works(exported, monkeypatch) -> None:
    monkeypatch.chdir(exported.folds.parent)
    picture = cv2.imread(str(images_of(exported)[0]))
    cv2.imwrite("strip.jpg", picture)
    example = [line.strip() for line in severstal.__doc__.splitlines() if line.startswith("    ")]
    names: dict = {}
    exec("\n".join(example), names)
    prediction = names["prediction"]
    assert prediction.masks.shape == (4, 64, 96)
    assert prediction.areas.sum() > 0


def test_what_a_prediction_measures() -> None:
    masks, maps = np.zeros((4, 10, 20), dtype=bool), np.full((4, 10, 20), 3, dtype=np.uint8)
    masks[2, 1:3, 1:4], masks[2, 6:8, 10:12] = True, True
    maps[2, 1:3, 1:4], maps[2, 6:8, 10:12] = 255, 102
    found = StripPrediction(np.zeros((10, 20), np.uint8), masks, maps, np.array([0, 0, 0.9, 0]), 0.1)
    assert found.classes == [3]
    assert found.areas.tolist() == [0, 0, 10, 0]
    assert found.defect_counts.tolist() == [0, 0, 2, 0]
    assert found.confidences == pytest.approx([0, 0, (6 * 1 + 4 * 0.4) / 10, 0])
    assert found.probabilities[2, 1, 1] == 1.0
    assert found.overlay().shape == (10, 20, 3)


def test_networks_beyond_the_budget_are_left_out_but_never_all(exported) -> None:
    slow = [MemberTime(name, SMALLEST, seconds) for name, seconds in ((FIRST, 0.4), (SECOND, 0.3))]
    for budget, kept, dropped in ((0.5, FIRST, SECOND), (0.1, SECOND, FIRST)):
        predictor = Predictor(exported.folds, "onnxruntime")
        assert [member.name for member in predictor.measure()] == [FIRST, SECOND]
        predictor.fit_to_budget(slow, budget)
        assert (predictor.members, predictor.left_out) == ([kept], [dropped])
        assert predictor.predict(images_of(exported)[0]).masks.shape == (4, 64, 96)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((32, 96), np.uint8), "the image is 32x96 pixels"),
        (np.zeros((64, 96)), "array of float64: give grey levels"),
        (np.zeros((64, 96, 2), np.uint8), r"shape \(64, 96, 2\): give an array \[H, W\]"),
        ("nowhere.jpg", "nowhere.jpg is missing"),
    ],
    ids=["size", "type", "shape", "missing"],
)
def test_an_image_that_cannot_be_predicted_is_refused_with_the_reason(predictor, image, message) -> None:
    with pytest.raises(InputError, match=message):
        predictor.predict(image)


def test_a_folder_without_an_experiment_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match="holds no trained ensemble"):
        Predictor(tmp_path)


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = "import severstal, sys; print(sorted({'numpy', 'torch', 'cv2', 'pydantic'} & set(sys.modules)))"
    assert run_python(code) == "[]\n"


def test_the_package_knows_its_version() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert severstal.__version__ in (declared, "unknown"), "the installed package is not this one: bash bin/setup.sh"


def test_a_name_that_the_package_lacks_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Segmenter"):
        _ = severstal.Segmenter
