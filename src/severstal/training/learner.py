"""The network under training and everything that a training step uses: loss, AMP, optimiser and averaged weights."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from severstal.experiment import FoldConfig, Member
from severstal.models.encoder_weights import InitialWeights
from severstal.models.inference_graph import Normalise, pad_to_stride
from severstal.models.state_files import State
from severstal.models.unet import (
    Output,
    build_initial_unet,
    build_unet,
    input_stride,
    move_to,
    parameter_groups,
    split_output,
)
from severstal.models.whole_network import load_whole_network
from severstal.paths import Paths
from severstal.training.amp import MixedPrecision
from severstal.training.crops import unpack_masks
from severstal.training.distributed import Distributed
from severstal.training.divergence import check_finite
from severstal.training.losses import SegmentationLoss
from severstal.training.moving_average import MovingAverage

MAX_GRADIENT_NORM = 5.0  # longer gradients are shortened to it; they are rare


def _first_network(config: FoldConfig) -> tuple[nn.Module, InitialWeights | None]:
    """The network before its first step, and where its weights come from; None for random ones."""
    if config.pretrained is None:
        return build_initial_unet(config.recipe, config.encoder)
    network = build_unet(config.recipe, config.encoder)
    start = Member(Paths(folds=Path(config.pretrained.folds)), config.encoder, config.pretrained.fold)
    return network, load_whole_network(network, start.files.weights)


class LearnerState(TypedDict):
    """Tensors and plain values of a :class:`Learner`."""

    network: State
    ema: State
    optimizer: dict[str, Any]
    amp: dict[str, Any]


class Learner:
    """Trains a network step by step.

    Attributes:
        amp: the mixed precision, also for validation.
        initial_weights: what the encoder, or the whole network, started from; None for random weights, and where
            training resumes.
    """

    def __init__(self, config: FoldConfig, distributed: Distributed, *, resumes: bool) -> None:
        """Build the network and its optimiser; one that resumes needs no first weights, it loads a checkpoint."""
        recipe = config.recipe
        self._recipe, self._distributed, self._device = recipe, distributed, distributed.device
        network, self.initial_weights = (
            (build_unet(recipe, config.encoder), None) if resumes else _first_network(config)
        )
        network = move_to(network, self._device)
        optimizer = torch.optim.AdamW(
            parameter_groups(network, recipe.encoder_learning_rate_factor),
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            # One pass over the weights instead of eight: half the time of a step. apex patches the unfused one.
            fused=recipe.amp != "apex",
        )
        self.amp = MixedPrecision(recipe.amp, network, optimizer, self._device)
        self._network, self._stride = self.amp.network, input_stride(network)
        # Copied after MixedPrecision, so that validation computes as training does, and before `wrap` changes layers.
        self._ema = MovingAverage(self._network, recipe.ema_decay)
        self._wrapped = distributed.wrap(self._network)
        self._forward = compiled(self._wrapped, self._device) if recipe.torch_compile else self._wrapped
        self._normalise = Normalise(config.mean, config.std)
        self._loss = SegmentationLoss(recipe, distributed.all_reduce)

    @property
    def network(self) -> nn.Module:
        """The network under training."""
        return self._network

    @property
    def ema_network(self) -> nn.Module:
        """The network with the exponential moving average of the weights, which is validated and kept."""
        return self._ema.module

    def train(self) -> None:
        """Put the network into training mode."""
        self._wrapped.train()

    def backward(
        self, crops: torch.Tensor, bit_maps: torch.Tensor, epoch: int, *, completes_step: bool
    ) -> torch.Tensor:
        """Add the gradients of one micro-batch.

        Args:
            crops: ``uint8 [n, 1, h, w]`` of any size; they are padded as :class:`InferenceGraph` pads strips.
            bit_maps: ``uint8 [n, h, w]``, see :mod:`severstal.training.crops`.
            epoch: from 1; the loss depends on it.
            completes_step: whether :meth:`step` follows; only then processes exchange their gradients.

        Returns:
            the loss, a scalar on the device, without its graph.
        """
        crops = crops.to(self._device, non_blocking=True)
        masks = unpack_masks(bit_maps.to(self._device, non_blocking=True)).float()
        with self._exchanging_gradients(completes_step):
            with self.amp.autocast():
                padded = pad_to_stride(self._normalise(crops), self._stride)
                output = self._forward(padded.contiguous(memory_format=torch.channels_last))
            loss = self._total_loss(output, masks, epoch)
            self.amp.backward(loss / self._recipe.grad_accum_steps)
        return loss.detach()

    def _exchanging_gradients(self, exchange: bool) -> AbstractContextManager[None]:
        """Context of a backward pass in which processes exchange gradients, or do not."""
        if isinstance(self._wrapped, DistributedDataParallel) and not exchange:
            return self._wrapped.no_sync()
        return nullcontext()

    def step(self, step: int, learning_rate: float) -> None:
        """Update the weights with the accumulated gradients, then their moving average; ``step`` counts from 0."""
        for group in self.amp.optimizer.param_groups:
            group["lr"] = learning_rate * group["lr_factor"]
        self.amp.clip_gradients(MAX_GRADIENT_NORM)
        self.amp.step()
        self._ema.update(self._network, step)

    def _total_loss(self, output: Output, masks: torch.Tensor, epoch: int) -> torch.Tensor:
        """The loss of the pixels, and the classifier's with its weight if there is one."""
        logits, class_logits = split_output(output)
        factor = self._recipe.downscale  # of the logits' size in training
        targets = F.avg_pool2d(masks, factor, ceil_mode=True) if factor > 1 else masks
        height, width = targets.shape[2:]
        loss = self._loss(logits[:, :, :height, :width].float(), targets, epoch)
        if class_logits is None:
            return loss
        occurs = masks.amax(dim=(2, 3))
        classifier_loss = F.binary_cross_entropy_with_logits(class_logits.float(), occurs)
        return loss + self._recipe.classifier_loss_weight * classifier_loss

    def copy_ema_state(self) -> State:
        """A copy of the averaged weights on the CPU."""
        return {name: value.cpu().clone() for name, value in self.ema_network.state_dict().items()}

    def check_finite(self, member: Member, epoch: int, loss: float) -> None:
        """Check the epoch's mean loss, the network and the averaged weights.

        Raises:
            InputError: see :func:`severstal.training.divergence.check_finite`.
        """
        states = {"the network": self._network.state_dict(), "the averaged network": self.ema_network.state_dict()}
        check_finite(member, epoch, self.amp.mode, loss, states)

    def state_dict(self) -> LearnerState:
        """What :meth:`load_state_dict` restores."""
        return LearnerState(
            network=self._network.state_dict(),
            ema=self.ema_network.state_dict(),
            optimizer=self.amp.optimizer.state_dict(),
            amp=self.amp.state_dict(),
        )

    def load_state_dict(self, state: LearnerState) -> None:
        """Restore weights, averages, optimiser and AMP."""
        self._network.load_state_dict(state["network"])
        self.ema_network.load_state_dict(state["ema"])
        self.amp.optimizer.load_state_dict(state["optimizer"])
        self.amp.load_state_dict(state["amp"])


def compiled(network: nn.Module, device: torch.device) -> Callable[[torch.Tensor], Output]:
    """The network compiled by PyTorch for a GPU; on a CPU as it is, where the compiler needs one for C++.

    The compiled function has the same parameters: the optimiser and the averages go on with those of ``network``.
    """
    return torch.compile(network) if device.type == "cuda" else network
