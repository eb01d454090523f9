"""Near-duplicates: found in other light, not confused with other strips, refused where strips differ in size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.experiments import write_tiny_strips

from severstal.data import near_duplicates, strips
from severstal.errors import InputError


@pytest.fixture(scope="module")
def pictures(real_data: Path) -> list[np.ndarray]:
    """Real strips. Some files are PNGs whatever their names say, so OpenCV reads them and not a stage's reader."""
    folder = real_data / "severstal-sample" / "train_images"
    return [cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in sorted(folder.iterdir())]


def photographed_again(picture: np.ndarray) -> np.ndarray:
    """The same steel, two columns further, in other light, with noise, compressed again."""
    light = np.linspace(0.8, 1.1, picture.shape[1])[None]
    noise = np.random.default_rng(0).normal(0, 3, picture.shape)
    copy = np.clip(np.roll(picture, 2, axis=1) * light + noise, 0, 255).astype(np.uint8)
    return cv2.imdecode(cv2.imencode(".jpg", copy)[1], cv2.IMREAD_GRAYSCALE)


def thumbnails_of(pictures: list[np.ndarray]) -> np.ndarray:
    return np.stack([near_duplicates.thumbnail(picture) for picture in pictures])


def test_a_copy_in_other_light_is_a_near_duplicate_and_another_strip_is_not(pictures) -> None:
    copies = [photographed_again(picture) for picture in pictures]
    groups = near_duplicates.groups_of(thumbnails_of(pictures + copies))
    assert groups[: len(pictures)].tolist() == groups[len(pictures) :].tolist()
    assert len(set(groups)) == len(pictures)


def test_strips_with_a_near_duplicate_among_others_are_found(pictures) -> None:
    copies = [photographed_again(picture) for picture in pictures[:2]]
    found = near_duplicates.has_near_duplicate(thumbnails_of(pictures), thumbnails_of(copies))
    assert found.tolist() == [True, True] + [False] * (len(pictures) - 2)


def test_strips_linked_by_a_chain_are_one_group() -> None:
    angles = np.deg2rad([0, 20, 40, 90])  # neighbours of the chain correlate with .94, its ends with .77
    groups = near_duplicates.groups_of(np.stack((np.cos(angles), np.sin(angles)), axis=1).astype(np.float32))
    assert groups.tolist() == [groups[0]] * 3 + [groups[3]]
    assert groups[0] != groups[3]


@pytest.mark.parametrize("smooth", [True, False])  # of smooth ones few pairs have to be compared in full, of noise all
def test_all_near_duplicates_among_many_strips_are_found(smooth: bool) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.standard_normal((300, 3200), dtype=np.float32)
    if smooth:
        pictures = cv2.blur(pictures, (40, 1))
    pictures[200:] = pictures[:100] + rng.uniform(0.1, 1, (100, 1)) * pictures[100:200]
    thumbnails = pictures / np.linalg.norm(pictures, axis=1, keepdims=True)
    expected = thumbnails @ thumbnails.T > near_duplicates.MIN_CORRELATION
    assert 330 < expected.sum() < 490
    found = np.zeros_like(expected)
    found[near_duplicates._near_pairs(thumbnails, thumbnails)] = True
    assert np.array_equal(found, expected)


def test_a_strip_of_another_size_is_named_before_anything_is_split(tmp_path) -> None:
    write_tiny_strips(tmp_path / "strips", 3)
    odd = tmp_path / "strips" / f"{2:09x}.jpg"
    cv2.imwrite(str(odd), np.zeros((32, 96), dtype=np.uint8))
    with pytest.raises(InputError, match=r"is 32x96 pixels .* where 64x96 is expected.*resize or remove") as raised:
        near_duplicates.scan(odd.parent, strips.listing(odd.parent), 1)
    assert str(odd) in str(raised.value)
