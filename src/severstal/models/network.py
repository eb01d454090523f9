"""U-Nets of segmentation-models-pytorch with one input channel, from pretrained or random weights."""

from __future__ import annotations

import difflib
import warnings

import torch
from torch import nn
from torch.nn import functional as F

from severstal.data.labels import CLASSES
from severstal.errors import InputError, first_line
from severstal.models.libraries import smp, timm
from severstal.recipe import Recipe


class ClassifierHead(nn.Module):
    """Whether each class occurs at all, from the encoder's deepest features: the surest place of the input decides.

    The largest logit of any place, not a mean over them: a crop and a strip six times as wide then mean the same.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.logits = nn.Conv2d(channels, len(CLASSES), kernel_size=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits ``[N, 4]`` of features ``[N, channels, h, w]``."""
        return torch.amax(self.logits(features), dim=(2, 3))


def parts(output: torch.Tensor | tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """A network's output as logits ``[N, 4, h, w]``, and the head's ``[N, 4]`` or None."""
    return output if isinstance(output, tuple) else (output, None)


class Downscaled(nn.Module):
    """A U-Net that sees its input some times smaller: a crop costs a quarter at half size, and fine edges.

    Logits are scaled up in training too: with masks brought to their size instead, a step took a fifth less, and the
    Dice was .800 where it is .810 (NEU-strips, 1,050 steps, one run each).
    """

    def __init__(self, unet: nn.Module, factor: int) -> None:
        super().__init__()
        self.unet, self.factor = unet, factor

    @property
    def stride(self) -> int:
        """Pixels by which height and width must be divisible."""
        return stride_of(self.unet) * self.factor

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Logits in the size of the input, ``[N, 4, H, W]``, and those of the head where there is one."""
        logits, class_probability = parts(self.unet(F.avg_pool2d(x, self.factor)))
        logits = F.interpolate(logits, scale_factor=self.factor, mode="bilinear", align_corners=False)
        return logits if class_probability is None else (logits, class_probability)


def stride_of(network: nn.Module) -> int:
    """Pixels by which the height and width of a network's input must be divisible."""
    return network.stride if isinstance(network, Downscaled) else int(network.encoder.output_stride)


def build(recipe: Recipe, encoder: str, *, pretrained: bool) -> nn.Module:
    """U-Net that maps ``float32 [N, 1, H, W]`` to logits ``[N, 4, H, W]``, and with a presence head to ``[N, 4]`` too.

    Args:
        pretrained: fetch the encoder's ImageNet weights; its first layer is summed over the colours.

    Raises:
        InputError: for an unknown encoder (near misses are named), or weights that cannot be fetched.
    """
    check_encoder(encoder)
    channels = recipe.decoder_channels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            unet = smp.Unet(
                encoder_name=encoder,
                encoder_depth=len(channels),
                encoder_weights="imagenet" if pretrained else None,
                decoder_channels=channels,
                in_channels=1,
                classes=len(CLASSES),
            )
        if recipe.classifier_loss_weight:
            unet.classification_head = ClassifierHead(unet.encoder.out_channels[-1])  # a U-Net of smp runs it
        return unet if recipe.downscale == 1 else Downscaled(unet, recipe.downscale)
    except (OSError, RuntimeError) as error:
        # Hub libraries raise some twenty kinds of network errors; all are OSErrors or say that they tried.
        if not pretrained:
            raise
        raise InputError(
            f"the pretrained weights of {encoder} cannot be fetched ({first_line(error)}). Connect to the internet "
            "once (they are kept in ~/.cache), or start from random weights with `--encoder-weights none`"
        ) from None
    except (ValueError, KeyError) as error:
        raise InputError(f"{encoder} with decoder_channels {channels}: {first_line(error)}") from None


def check_encoder(encoder: str) -> None:
    """Raise an error that suggests near misses if no encoder has this name."""
    known = set(smp.encoders.get_encoder_names())
    of_timm = {f"tu-{name}" for name in timm.list_models()}
    if encoder in known or encoder.split(".")[0] in of_timm:  # what follows a dot names weights
        return
    near = difflib.get_close_matches(encoder, sorted(known | of_timm), n=4, cutoff=0.5)
    meant = f"did you mean {', '.join(near)}?" if near else "see `smp.encoders.get_encoder_names()`"
    raise InputError(f"no encoder is called {encoder!r}: {meant} (a network of timm is written tu-NAME)")
