"""U-Nets of segmentation-models-pytorch with one input channel."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from severstal.data.labels import CLASSES
from severstal.errors import InputError, first_line
from severstal.models.encoder_names import check_encoder
from severstal.models.encoder_weights import InitialWeights, load_file_into, load_from_hub, local_file
from severstal.models.libraries import smp
from severstal.recipe import IMAGENET, Recipe

# First logit of every pixel, a probability of 2 %: defects are rare, and a network that starts at 50 % spends its first
# steps on learning just that (Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, section 3.3).
RARE_PIXEL_LOGIT = -4.0
UNUSED_CHANNELS = 8  # of decoder blocks that are removed

Output = torch.Tensor | tuple[torch.Tensor, torch.Tensor]  # pixel logits, or these and the classifier's logits


class ClassifierHead(nn.Module):
    """Classifies whether each class occurs in the input, from the encoder's deepest features.

    The logit of a class is its largest one over all positions, not the mean: a mean would depend on the share of the
    input that the defect covers, and a strip is six times as wide as a training crop.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.logits = nn.Conv2d(channels, len(CLASSES), kernel_size=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits ``[N, 4]`` of features ``[N, channels, h, w]``."""
        return torch.amax(self.logits(features), dim=(2, 3))


def split_output(output: Output) -> tuple[torch.Tensor, torch.Tensor | None]:
    """A network's output as pixel logits ``[N, 4, h, w]`` and class logits ``[N, 4]``, None without a classifier."""
    return output if isinstance(output, tuple) else (output, None)


class DownscaledUnet(nn.Module):
    """A U-Net on the input reduced by a factor; its logits are enlarged to the size of the input.

    At half size a crop costs a quarter of the time, and fine edges are lost. In training mode the logits stay small:
    the loss compares them with masks of their size.
    """

    def __init__(self, unet: nn.Module, factor: int) -> None:
        super().__init__()
        self.unet, self.factor = unet, factor

    @property
    def stride(self) -> int:
        """Pixels by which height and width must be divisible."""
        return input_stride(self.unet) * self.factor

    def forward(self, x: torch.Tensor) -> Output:
        """Logits of ``[N, 1, H, W]``, and those of the classifier if there is one.

        They are ``[N, 4, H, W]``, in training mode ``[N, 4, H / factor, W / factor]``.
        """
        logits, class_logits = split_output(self.unet(F.avg_pool2d(x, self.factor)))
        if not self.training:
            logits = F.interpolate(logits, scale_factor=self.factor, mode="bilinear", align_corners=False)
        return logits if class_logits is None else (logits, class_logits)


def input_stride(network: nn.Module) -> int:
    """Pixels by which the height and width of a network's input must be divisible."""
    if isinstance(network, DownscaledUnet):
        return network.stride
    encoder: Any = network.encoder
    return int(encoder.output_stride)


def build_unet(recipe: Recipe, encoder: str) -> nn.Module:
    """U-Net that maps ``float32 [N, 1, H, W]`` to logits ``[N, 4, H, W]``; with a classifier head also to ``[N, 4]``.

    Its weights are random.

    Args:
        recipe: gives the decoder's channels and stride, the factor of downscaling, and whether there is a classifier.
        encoder: its name, see :func:`severstal.models.encoder_names.check_encoder`.

    Raises:
        InputError: for an unknown encoder, or one that the decoder does not fit.
    """
    return _build(recipe, encoder, from_hub=False)


def build_initial_unet(recipe: Recipe, encoder: str) -> tuple[nn.Module, InitialWeights | None]:
    """The same with the first weights that the recipe asks for, and what they are; None for random ones.

    Raises:
        InputError: as :func:`build_unet`, and if the weights are missing, damaged, of another encoder, or cannot be
            downloaded.
    """
    wanted = recipe.encoder_weights
    path = local_file(encoder, wanted)
    if path is None and wanted == IMAGENET:
        return load_from_hub(encoder, lambda: _build(recipe, encoder, from_hub=True))
    network = build_unet(recipe, encoder)
    return network, load_file_into(_encoder_of(network), encoder, wanted, path) if path else None


def _build(recipe: Recipe, encoder: str, *, from_hub: bool) -> nn.Module:
    check_encoder(encoder)
    try:
        unet = _smp_unet(recipe, encoder, from_hub=from_hub)
    except (ValueError, KeyError) as error:
        raise InputError(f"{encoder} with decoder_channels {recipe.decoder_channels}: {first_line(error)}") from None
    head: Any = unet.segmentation_head
    nn.init.constant_(head[0].bias, RARE_PIXEL_LOGIT)
    if recipe.classifier_loss_weight:
        encoder_module: Any = unet.encoder
        unet.classification_head = ClassifierHead(encoder_module.out_channels[-1])  # smp's U-Net calls it in forward
    return unet if recipe.downscale == 1 else DownscaledUnet(unet, recipe.downscale)


def move_to(network: nn.Module, device: torch.device) -> nn.Module:
    """The network on a device, in the memory format that convolutions are fastest with."""
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's types


def _encoder_of(network: nn.Module) -> Any:
    unet: Any = network.unet if isinstance(network, DownscaledUnet) else network
    return unet.encoder


def parameter_groups(network: nn.Module, encoder_factor: float) -> list[dict[str, Any]]:
    """The parameters as groups of an optimiser: the encoder's and the others, each with and without weight decay.

    Biases and the scales of normalisations do not decay: a scale near zero switches a channel off.

    Args:
        encoder_factor: of the encoder's learning rate; the groups hold the factors as ``lr_factor``.
    """
    encoder = list(_encoder_of(network).parameters())
    of_encoder = {id(parameter) for parameter in encoder}
    others = [parameter for parameter in network.parameters() if id(parameter) not in of_encoder]
    groups: list[dict[str, Any]] = []
    for parameters, factor in ((encoder, encoder_factor), (others, 1.0)):
        groups.append({"params": [p for p in parameters if p.ndim > 1], "lr_factor": factor})
        groups.append({"params": [p for p in parameters if p.ndim <= 1], "lr_factor": factor, "weight_decay": 0.0})
    return groups


def _smp_unet(recipe: Recipe, encoder: str, *, from_hub: bool) -> nn.Module:
    """A U-Net of segmentation-models-pytorch whose decoder ends at the recipe's stride."""
    skipped = int(math.log2(recipe.decoder_stride))
    channels = recipe.decoder_channels + (UNUSED_CHANNELS,) * skipped
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        unet = smp.Unet(
            encoder_name=encoder,
            encoder_depth=len(channels),
            encoder_weights=IMAGENET if from_hub else None,
            decoder_channels=channels,
            in_channels=1,
            classes=len(CLASSES),
        )
    if skipped:
        unet.decoder.blocks = unet.decoder.blocks[:-skipped]
        unet.segmentation_head = smp.base.SegmentationHead(
            recipe.decoder_channels[-1], len(CLASSES), kernel_size=3, upsampling=recipe.decoder_stride
        )
    return unet
