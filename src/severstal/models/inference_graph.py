"""The inference graph: 8-bit strips in, 8-bit probabilities out.

``strips: uint8 [N, 1, H, W]`` -> ``probability: uint8 [N, 4, H, W]`` and ``class_probability: uint8 [N, 4]``, both
0-255. The second is the classifier's; a network without a classifier gives the maximum of the map instead.
Normalisation, padding to the network's stride, test-time flips and the sigmoid are part of the graph, so out-of-fold
maps, PyTorch, ONNX Runtime, OpenVINO and TensorRT all run the same definition. In PyTorch it takes strips of any size;
an exported graph takes strips of the size that it was exported for.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from severstal.experiment import FoldConfig, Member
from severstal.models import weights
from severstal.models.unet import build_unet, input_stride, move_to, split_output

FLIP_AXES = {"horizontal": (3,), "vertical": (2,), "both": (2, 3)}


class Normalise(nn.Module):
    """Brings grey levels 0-255 to mean 0 and standard deviation 1 over the steel of the training strips."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self._scale, self._shift = 1 / (255 * std), -mean / std

    def forward(self, strips: torch.Tensor) -> torch.Tensor:
        """``float32`` of ``uint8``, the same shape."""
        return strips.float() * self._scale + self._shift


def pad_to_stride(x: torch.Tensor, stride: int) -> torch.Tensor:
    """``[N, C, H, W]`` with its last row and column repeated until both sides are divisible by a network's stride."""
    below, beside = -x.shape[2] % stride, -x.shape[3] % stride
    return F.pad(x, (0, beside, 0, below), mode="replicate") if below or beside else x


class InferenceGraph(nn.Module):
    """The module that is exported.

    Args:
        network: maps ``float32 [N, 1, h, w]`` to logits ``[N, 4, h, w]``, or to these and class logits ``[N, 4]``.
        mean: mean grey of the training strips, as a share of 255.
        std: its standard deviation, likewise.
        stride: pixels by which ``h`` and ``w`` must be divisible; strips are padded to that.
        tta: flipped views whose probabilities are averaged with those of the plain view, keys of ``FLIP_AXES``.
        concatenate: run the network once on all views, concatenated along N, instead of once per view. The graph then
            holds the network once, and the memory of a call is that of all views.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: float,
        std: float,
        stride: int,
        tta: tuple[str, ...],
        *,
        concatenate: bool = False,
    ) -> None:
        super().__init__()
        self._concatenate = concatenate and bool(tta)
        self.network, self.normalise = network, Normalise(mean, std)
        self._stride, self._axes = stride, [FLIP_AXES[flip] for flip in tta]

    @classmethod
    def of(
        cls, config: FoldConfig, network: nn.Module, tta: tuple[str, ...], *, concatenate: bool = False
    ) -> InferenceGraph:
        """The graph of a fold's network, in evaluation mode."""
        return cls(network, config.mean, config.std, input_stride(network), tta, concatenate=concatenate).eval()

    def forward(self, strips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``probability`` and ``class_probability`` as in the module's docstring."""
        height, width = strips.shape[2:]
        x = pad_to_stride(self.normalise(strips), self._stride)
        probability, class_probability = self._predict_together(x) if self._concatenate else self._predict_in_turn(x)
        views = 1 + len(self._axes)
        probability = probability[:, :, :height, :width] / views
        if class_probability is None:
            class_probability = torch.amax(probability, dim=(2, 3))
        else:
            class_probability = class_probability / views
        return _to_uint8(probability), _to_uint8(class_probability)

    def _predict_in_turn(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Sums over the views of what :meth:`_predict_view` returns, one view after another."""
        probability, class_probability = self._predict_view(x)
        for axes in self._axes:
            flipped, of_flipped = self._predict_view(torch.flip(x, axes))
            probability = probability + torch.flip(flipped, axes)
            if class_probability is not None and of_flipped is not None:
                class_probability = class_probability + of_flipped
        return probability, class_probability

    def _predict_together(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The same from one call of the network."""
        together, of_classes = self._predict_view(torch.cat([x, *(torch.flip(x, axes) for axes in self._axes)]))
        probability, *flipped = together.unflatten(0, (1 + len(self._axes), -1)).unbind()
        for view, axes in zip(flipped, self._axes, strict=True):
            probability = probability + torch.flip(view, axes)
        if of_classes is not None:
            of_classes = of_classes.unflatten(0, (1 + len(self._axes), -1)).sum(dim=0)
        return probability, of_classes

    def _predict_view(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Probabilities ``[N, 4, h, w]``, and the classifier's ``[N, 4]`` if there is one."""
        logits, class_logits = split_output(self.network(x))
        return torch.sigmoid(logits.float()), None if class_logits is None else torch.sigmoid(class_logits.float())


def _to_uint8(probability: torch.Tensor) -> torch.Tensor:
    return torch.round(probability * 255).to(torch.uint8)


def load_inference_graph(member: Member, device: torch.device, *, concatenate: bool | None = None) -> InferenceGraph:
    """A trained member's graph, rebuilt from its folder.

    Args:
        concatenate: see :class:`InferenceGraph`; by default on a GPU, which a single strip does not fill.

    Raises:
        InputError: if its configuration or weights are missing or damaged.
    """
    config = member.config()
    network = build_unet(config.recipe, config.encoder)
    weights.load(member.files.weights, network, member.remake)
    concatenate = device.type == "cuda" if concatenate is None else concatenate
    return InferenceGraph.of(config, move_to(network, device), config.recipe.tta, concatenate=concatenate)
