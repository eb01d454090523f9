"""Automatic mixed precision: the mode, what it requires, and the state that a resumed training has to restore.

* ``fp16``: float16 autocast with gradient scaling (CUDA). Without scaling, the small gradients of early epochs
  underflow to zero and the network does not learn.
* ``bf16``: bfloat16 autocast; it has the exponent of float32, so no scaling is needed. On a CPU some depthwise
  convolutions stay in float32 (:mod:`severstal.training.depthwise`).
* ``apex``: the implementation of 2019, ``amp.initialize(opt_level="O1")`` and ``amp.scale_loss``. NVIDIA removed
  ``amp`` from apex in May 2025; releases up to 25.05 have it.
* ``off``: float32; its convolutions are TF32 on an NVIDIA GPU of Ampere or later, which is cuDNN's default.
"""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

import torch
from torch import nn

from severstal.errors import InputError
from severstal.training.depthwise import speed_up_depthwise


def cpu_has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 natively; emulated it is four times slower than float32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def choose_mode(requested: str, device: torch.device) -> str:
    """The mode for a device; ``auto`` becomes ``fp16``, ``bf16`` or ``off``.

    Raises:
        InputError: if the device cannot run the requested mode.
    """
    if requested == "auto":
        if device.type == "cuda":
            return "fp16"
        return "bf16" if cpu_has_bfloat16() else "off"
    if requested in ("fp16", "apex") and device.type != "cuda":
        raise InputError(f"--amp {requested} needs an NVIDIA GPU: choose --amp auto, bf16 or off on this machine")
    return requested


def import_apex_amp() -> ModuleType:
    """NVIDIA's ``apex.amp``.

    Raises:
        InputError: if apex is not installed, is PyPI's web toolkit of that name, or is a release without amp.
    """
    cure = (
        "NVIDIA's apex up to tag 25.05 has it: git clone -b 25.05 https://github.com/NVIDIA/apex && pip install "
        "-v --no-build-isolation ./apex; or choose --amp fp16, its successor within PyTorch"
    )
    try:
        apex = importlib.import_module("apex")
    except ImportError as error:
        # PyPI's apex imports a web framework that is seldom installed, so it fails here too.
        raise InputError(f"--amp apex: apex cannot be imported ({error}). {cure}") from None
    try:
        return importlib.import_module("apex.amp")
    except ImportError:
        if not hasattr(apex, "optimizers") and not hasattr(apex, "normalization"):
            raise InputError(
                f"--amp apex: the apex installed here is PyPI's web toolkit, not NVIDIA's: `pip uninstall apex`. {cure}"
            ) from None
        raise InputError(f"--amp apex: this release of NVIDIA's apex has no amp any more. {cure}") from None


class MixedPrecision:
    """Forward, backward and optimiser step in one mode.

    Attributes:
        mode: ``fp16``, ``bf16``, ``apex`` or ``off``.
        network: to be used from here on instead of the one that was passed; apex may replace it.
        optimizer: likewise.
    """

    def __init__(
        self, requested: str, network: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
    ) -> None:
        self.mode = choose_mode(requested, device)
        self.network, self.optimizer, self._device = network, optimizer, device
        self._scaler = torch.amp.GradScaler(device.type, enabled=self.mode == "fp16")
        if device.type == "cpu":
            speed_up_depthwise(network)
        self._apex = import_apex_amp() if self.mode == "apex" else None
        self._skipped = torch.zeros((), dtype=torch.int64, device=device)  # counted there: reading it waits for the GPU
        if self._apex:
            self.network, self.optimizer = self._apex.initialize(network, optimizer, opt_level="O1", verbosity=0)

    def describe(self) -> str:
        """The mode for a log line, with what a GPU computes where it differs."""
        is_tf32 = self.mode == "off" and self._device.type == "cuda" and torch.cuda.get_device_capability() >= (8, 0)
        return "off (TF32 convolutions)" if is_tf32 else self.mode

    def autocast(self) -> AbstractContextManager[Any]:
        """Context of the forward pass."""
        if self.mode not in ("fp16", "bf16"):
            return nullcontext()
        return torch.autocast(self._device.type, torch.float16 if self.mode == "fp16" else torch.bfloat16)

    def backward(self, loss: torch.Tensor) -> None:
        """Add the gradients of a loss, scaled if the mode requires it."""
        if self._apex:
            with self._apex.scale_loss(loss, self.optimizer) as scaled:
                scaled.backward()
        else:
            self._scaler.scale(loss).backward()

    def clip_gradients(self, max_norm: float) -> None:
        """Undo the gradients' scaling, then shorten them to a norm of at most ``max_norm``."""
        if self.mode == "fp16":
            self._scaler.unscale_(self.optimizer)
        parameters = self._apex.master_params(self.optimizer) if self._apex else self.network.parameters()
        norm = nn.utils.clip_grad_norm_(parameters, max_norm)
        self._skipped += ~torch.isfinite(norm)

    def step(self) -> None:
        """One optimiser step, then clear the gradients; the scaler skips the step if a gradient overflowed."""
        if self._apex:
            self.optimizer.step()
        else:
            self._scaler.step(self.optimizer)
            self._scaler.update()
        self.optimizer.zero_grad(set_to_none=True)

    @property
    def loss_scale(self) -> float | None:
        """Factor by which float16 scales the loss now; None in the other modes (apex keeps its own)."""
        return float(self._scaler.get_scale()) if self.mode == "fp16" else None

    def take_skipped_steps(self) -> int:
        """Number of steps since the last call whose gradients were not finite; with scaling they were skipped."""
        count = int(self._skipped)
        self._skipped.zero_()
        return count

    def state_dict(self) -> dict[str, Any]:
        """State of the scaler; a resumed training that searched its scale anew would give other weights."""
        return self._apex.state_dict() if self._apex else self._scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        if self._apex:
            self._apex.load_state_dict(state)
        elif state:
            self._scaler.load_state_dict(state)
