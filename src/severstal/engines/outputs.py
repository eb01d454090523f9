"""What engines return, as types."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Outputs = tuple[np.ndarray, np.ndarray]
"""Probability maps ``uint8 [N, 4, H, W]`` and class probabilities ``uint8 [N, 4]``, 255 for certainty."""

Predict = Callable[[np.ndarray], Outputs]
"""Maps strips ``uint8 [N, H, W]``, any N from 1, to their outputs: an engine, or several that are averaged."""
