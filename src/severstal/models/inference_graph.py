"""The whole model as one graph: strips as they are stored in, 8-bit probabilities out.

``uint8 [N, 1, H, W]`` -> ``probability: uint8 [N, 4, H, W]`` (0-255) and ``presence: uint8 [N, 4]`` (the
classification head's, or where a network has none the maximum of the map). Normalisation, padding to the network's
stride, test-time flips and sigmoid are inside, so out-of-fold maps, PyTorch, ONNX Runtime, OpenVINO and TensorRT share
one definition.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from severstal.experiment import FoldConfig, Member
from severstal.models import network, weights
from severstal.models.network import parts

AXES = {"horizontal": (3,), "vertical": (2,), "both": (2, 3)}


class Normalise(nn.Module):
    """Grey levels 0-255 to mean 0 and standard deviation 1 over the training strips' steel."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self._scale, self._shift = 1 / (255 * std), -mean / std

    def forward(self, strips: torch.Tensor) -> torch.Tensor:
        return strips.float() * self._scale + self._shift


class WholeModel(nn.Module):
    """The exported graph.

    Args:
        network: maps ``float32 [N, 1, h, w]`` to logits ``[N, 4, h, w]``, with a head to those and ``[N, 4]``.
        mean, std: of the training strips, as shares of 255.
        size: height and width of the strips.
        stride: what ``h`` and ``w`` must be divisible by.
        flips: views averaged with the plain one.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: float,
        std: float,
        size: tuple[int, int],
        stride: int,
        tta: tuple[str, ...],
    ) -> None:
        super().__init__()
        self.network, self.normalise = network, Normalise(mean, std)
        self._size, self._axes = size, [AXES[flip] for flip in tta]
        self._pad = tuple(-length % stride for length in size)

    @classmethod
    def of(cls, config: FoldConfig, unet: nn.Module, tta: tuple[str, ...]) -> WholeModel:
        """The graph of a fold's network, in evaluation mode."""
        size = (config.height, config.width)
        return cls(unet, config.mean, config.std, size, network.stride_of(unet), tta).eval()

    def forward(self, strips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.normalise(strips)
        if any(self._pad):
            x = F.pad(x, (0, self._pad[1], 0, self._pad[0]), mode="replicate")
        mean, sure = self._view(x)
        for axes in self._axes:
            flipped, of_flipped = self._view(torch.flip(x, axes))
            mean = mean + torch.flip(flipped, axes)
            sure = None if of_flipped is None else sure + of_flipped
        views = 1 + len(self._axes)
        mean = mean[:, :, : self._size[0], : self._size[1]] / views
        sure = torch.amax(mean, dim=(2, 3)) if sure is None else sure / views
        return torch.round(mean * 255).to(torch.uint8), torch.round(sure * 255).to(torch.uint8)

    def _view(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Probabilities ``[N, 4, h, w]``, and the head's ``[N, 4]`` where there is one."""
        logits, class_probability = parts(self.network(x))
        return torch.sigmoid(logits.float()), None if class_probability is None else torch.sigmoid(
            class_probability.float()
        )


def load_whole_model(member: Member, device: torch.device) -> WholeModel:
    """A trained member's graph, rebuilt from its folder."""
    config = member.config()
    unet = network.build(config.recipe, config.encoder, pretrained=False)
    weights.load(member.files.weights, unet, member.remake)
    return WholeModel.of(config, unet.to(device, memory_format=torch.channels_last), config.recipe.tta)
