"""The inference graph: flips, padding, the sigmoid and the classifier's probabilities."""

from __future__ import annotations

import pytest
import torch
from support.experiments import TINY
from torch import nn

from severstal import recipe
from severstal.models.inference_graph import InferenceGraph
from severstal.models.unet import build_unet, split_output

FLIPS = [
    (("horizontal",), (3,)),
    (("vertical",), (2,)),
    (("horizontal", "vertical", "both"), (2, 3)),
]


class Constant(nn.Module):
    """Logits that do not depend on the input."""

    def __init__(self, *class_logits: float) -> None:
        super().__init__()
        self.class_logits = class_logits

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        logits = torch.tensor([0.0, 100.0, -100.0, 1.0]).view(1, 4, 1, 1).expand(len(x), 4, *x.shape[2:])
        return (logits, torch.tensor([self.class_logits]).expand(len(x), 4)) if self.class_logits else logits


@pytest.mark.parametrize(("tta", "axes"), FLIPS, ids=lambda value: "+".join(map(str, value)))
def test_with_flips_a_flipped_strip_gets_the_flipped_map(tta, axes) -> None:
    torch.manual_seed(0)
    asymmetric = nn.Conv2d(1, 4, 3, padding=1)
    strips = torch.randint(0, 256, (2, 1, 32, 64), dtype=torch.uint8)
    graph = InferenceGraph(asymmetric, 0.5, 0.2, 32, tta).eval()
    straight, flipped_back = graph(strips)[0], torch.flip(graph(torch.flip(strips, axes))[0], axes)
    assert (straight.int() - flipped_back.int()).abs().max() <= 1
    without = InferenceGraph(asymmetric, 0.5, 0.2, 32, ()).eval()
    assert not torch.equal(without(strips)[0], torch.flip(without(torch.flip(strips, axes))[0], axes))


def test_views_that_are_predicted_together_give_the_maps_of_views_in_turn() -> None:
    torch.manual_seed(0)
    values = recipe.build({"name": "tiny"} | TINY | {"classifier_loss_weight": 0.1})
    unet = build_unet(values, "tu-mobilenetv4_conv_small").eval()
    strips = torch.randint(0, 256, (3, 1, 70, 100), dtype=torch.uint8)
    arguments = unet, 0.5, 0.2, 32, ("horizontal", "vertical", "both")
    with torch.inference_mode():
        in_turn, together = (InferenceGraph(*arguments, concatenate=value).eval()(strips) for value in (False, True))
    assert all((one.int() - other.int()).abs().max() <= 1 for one, other in zip(in_turn, together, strict=True))
    assert in_turn[0].float().std() > 1, "equal maps of one value would prove nothing"


def test_probabilities_are_the_sigmoid_from_0_to_255() -> None:
    graph = InferenceGraph(Constant(), 0.5, 0.2, 32, ())
    probability, class_probability = graph(torch.zeros((1, 1, 64, 96), dtype=torch.uint8))
    assert probability[0, :, 0, 0].tolist() == [128, 255, 0, 186]  # round(255 / (1 + 1/e)) = 186
    assert class_probability.tolist() == [[128, 255, 0, 186]], "without a classifier: the maximum of the map"


def test_a_classifier_gives_the_class_probabilities() -> None:
    graph = InferenceGraph(Constant(100.0, 0.0, 1.0, -100.0), 0.5, 0.2, 32, ("horizontal",))
    _, class_probability = graph(torch.zeros((1, 1, 64, 96), dtype=torch.uint8))
    assert class_probability.tolist() == [[255, 128, 186, 0]]


def test_strips_of_any_size_are_padded_and_cut_back() -> None:
    """The network sees sides that its stride divides; the map has the strip's size and starts where the strip does."""
    received = []

    class Recorder(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            received.append(tuple(x.shape))
            return x.expand(-1, 4, -1, -1)

    strips = torch.randint(0, 256, (1, 1, 70, 100), dtype=torch.uint8)
    probability, _ = InferenceGraph(Recorder(), 0.5, 0.2, 32, ())(strips)
    assert received == [(1, 1, 96, 128)]
    expected = torch.sigmoid((strips[0, 0] / 255 - 0.5) / 0.2) * 255
    assert probability.shape == (1, 4, 70, 100)
    assert (probability[0, 0].float() - expected).abs().max() <= 0.51


@pytest.mark.parametrize("encoder", ["resnet18", "tu-mobilenetv4_conv_small"])
def test_a_classifier_takes_the_largest_logit_of_all_positions(encoder: str) -> None:
    torch.manual_seed(0)
    values = recipe.build({"name": "tiny"} | TINY | {"classifier_loss_weight": 0.1, "downscale": 2})
    unet = build_unet(values, encoder).eval()
    crop = torch.randn(1, 1, 64, 128)
    with torch.inference_mode():
        logits, class_logits = split_output(unet(crop))
        features = unet.unet.encoder(nn.functional.avg_pool2d(crop, 2))[-1]
        by_position = unet.unet.classification_head.logits(features)
    assert class_logits is not None
    assert (logits.shape, class_logits.shape) == ((1, 4, 64, 128), (1, 4))
    assert torch.allclose(class_logits, by_position.flatten(2).max(dim=2).values)
