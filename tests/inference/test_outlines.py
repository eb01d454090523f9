"""Outlines of masks as SVG paths."""

from __future__ import annotations

import re

import numpy as np

from severstal.inference import outlines


def test_an_outline_follows_the_edge_of_the_mask_and_of_its_hole() -> None:
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
