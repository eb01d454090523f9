"""Stops a training whose loss, weights or statistics are no longer finite numbers.

The gradient scaler of float16 only skips steps whose gradients overflowed. An overflow in the forward pass has by then
entered the running statistics of batch normalisation, and the moving average copies them: such a network goes on with
plausible log lines and predicts nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from severstal.errors import InputError
from severstal.experiment import Member
from severstal.models.weights import nonfinite_names

logger = logging.getLogger(__name__)

MAX_NAMES = 3  # of the tensors that an error names


def check_finite(
    member: Member, epoch: int, mode: str, loss: float, states: Mapping[str, Mapping[str, torch.Tensor]]
) -> None:
    """Check the loss and the tensors of an epoch before they are validated or saved.

    Args:
        mode: of mixed precision, see :mod:`severstal.training.amp`.
        loss: mean of the epoch.
        states: state dicts by what they are called in the error message.

    Raises:
        InputError: if one is not finite; it says what to do, and which checkpoint is still there.
    """
    problems = [] if torch.isfinite(torch.tensor(loss)) else [f"the loss is {loss}"]
    for title, state in states.items():
        names = nonfinite_names(state)
        if names:
            more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
            problems.append(f"{title} has NaN or infinity in {', '.join(names[:MAX_NAMES])}{more}")
    if problems:
        raise InputError(
            f"{member.name}: training diverged in epoch {epoch} with --amp {mode}: {'; '.join(problems)}. "
            f"{_kept(member.files.checkpoint, epoch)}. {_cure(member, mode)}"
        )


def warn_if_constant(
    member: Member, predictions: Iterable[tuple[str, np.ndarray, np.ndarray]]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """The predictions unchanged; a log line follows them if no map shows any difference between two pixels.

    Args:
        predictions: name, map ``uint8 [4, H, W]`` and class probabilities ``uint8 [4]`` of each strip.
    """
    is_constant, level = True, None
    for image, probability, class_probability in predictions:
        if is_constant and probability.size:
            level = probability.flat[0] if level is None else level
            is_constant = bool((probability == level).all())
        yield image, probability, class_probability
    if is_constant and level is not None:
        logger.warning(
            "%s predicts the same probability, %.2f, for every class and pixel: it has learned nothing, or its numbers "
            "overflowed. Delete %s and run `%s` with a lower --learning-rate, more --epochs or --amp off",
            *(member.name, level / 255, member.files.folder, member.remake),
        )


def _kept(checkpoint: Path, epoch: int) -> str:
    return f"{checkpoint} still holds epoch {epoch - 1}" if checkpoint.exists() else "No epoch was saved"


def _cure(member: Member, mode: str) -> str:
    options = {
        "fp16": "`--amp bf16` or `--amp off`",
        "apex": "`--amp bf16` or `--amp off`",
        "bf16": "`--amp off` or a lower `--learning-rate`",
    }.get(mode, "a lower `--learning-rate`")
    return f"Delete {member.files.folder} and run `{member.remake}` with {options}"
