"""Freezes the parameters of a network that no output depends on.

Encoders bring layers of their classifier along, such as ``_conv_head`` of EfficientNet, which a U-Net does not call.
DistributedDataParallel waits for the gradient of every parameter that requires one, and would have to search the graph
for the missing ones in every step (``find_unused_parameters``).
"""

from __future__ import annotations

import torch
from torch import nn

from severstal.models.unet import input_stride, split_output


def freeze_unused_parameters(network: nn.Module) -> list[str]:
    """Switch off the gradients of unused parameters; the network's weights and statistics stay as they are.

    They are found by one backward pass in evaluation mode, over an input of twice the network's stride.

    Args:
        network: a U-Net of :mod:`severstal.models.unet`.

    Returns:
        the names of the frozen parameters.
    """
    trainable = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    device = next(iter(trainable.values())).device
    was_training = network.training
    network.eval()
    side = 2 * input_stride(network)
    logits, class_logits = split_output(network(torch.zeros(1, 1, side, side, device=device)))
    network.train(was_training)
    total = logits.sum() if class_logits is None else logits.sum() + class_logits.sum()
    gradients = torch.autograd.grad(total, list(trainable.values()), allow_unused=True)
    unused = [name for name, gradient in zip(trainable, gradients, strict=True) if gradient is None]
    for name in unused:
        trainable[name].requires_grad_(False)
    return unused
