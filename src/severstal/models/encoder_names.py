"""The names of encoders that exist, and suggestions for one that does not."""

from __future__ import annotations

import difflib

from severstal.errors import InputError
from severstal.models.libraries import smp, timm


def check_encoder(encoder: str) -> None:
    """Check that an encoder of this name exists.

    Args:
        encoder: a name of segmentation-models-pytorch, or ``tu-NAME`` for a network of timm.

    Raises:
        InputError: if there is none; the message suggests similar names.
    """
    of_smp = set(smp.encoders.get_encoder_names())
    of_timm = {f"tu-{name}" for name in timm.list_models()}
    if encoder in of_smp or encoder.split(".")[0] in of_timm:  # what follows a dot names pretrained weights
        return
    similar = difflib.get_close_matches(encoder, sorted(of_smp | of_timm), n=4, cutoff=0.5)
    hint = f"did you mean {', '.join(similar)}?" if similar else "see `smp.encoders.get_encoder_names()`"
    raise InputError(f"no encoder is called {encoder!r}: {hint} (a network of timm is written tu-NAME)")
