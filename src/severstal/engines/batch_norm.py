"""Batch normalisation in a float16 network: folded into convolutions, or kept in float32.

A running variance above 65,504 is infinite in float16, and the layer's output constant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from severstal.models.unet import split_output


def fold_batch_norms(network: nn.Module, example: torch.Tensor) -> int:
    """Fold batch normalisations into the convolutions before them, in place.

    Folded is what reads the output of a convolution that nothing else reads. Layers with more than a normalisation in
    them, such as timm's ``BatchNormAct2d``, stay.

    Args:
        network: in evaluation mode and float32.
        example: an input ``float32 [N, 1, h, w]``; the network runs on it once, to find which layer reads which.

    Returns:
        How many were folded.
    """
    norm_of = _norm_of_convolutions(network, example)
    for name, norm in list(network.named_modules(remove_duplicate=False)):
        if norm in norm_of.values():
            network.set_submodule(name, nn.Identity())
    for convolution, norm in norm_of.items():
        statistics = norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        folded = fuse_conv_bn_weights(convolution.weight, convolution.bias, *statistics)
        convolution.weight, convolution.bias = folded
    return len(norm_of)


def keep_in_float32(network: nn.Module) -> None:
    """Bring batch normalisations back to float32, in place; PyTorch applies them to float16 tensors as they are."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.float()


def _norm_of_convolutions(network: nn.Module, example: torch.Tensor) -> dict[nn.Conv2d, Any]:
    """The normalisation to fold into each convolution, found in the graph that autograd records."""
    calls: Counter[nn.Module] = Counter()
    writers: dict[Any, nn.Conv2d] = {}  # by node of autograd's graph
    readers: dict[Any, nn.BatchNorm2d] = {}

    def after_convolution(convolution: Any, _: Any, output: torch.Tensor) -> None:
        calls[convolution] += 1
        writers[output.grad_fn] = convolution

    def before_norm(norm: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        calls[norm] += 1
        readers[inputs[0].grad_fn] = norm

    modules = list(network.modules())
    hooks = [module.register_forward_hook(after_convolution) for module in modules if isinstance(module, nn.Conv2d)]
    hooks += [module.register_forward_pre_hook(before_norm) for module in modules if type(module) is nn.BatchNorm2d]
    try:
        with torch.inference_mode(False), torch.enable_grad():
            outputs = [output for output in split_output(network(example)) if output is not None]
    finally:
        for hook in hooks:
            hook.remove()
    num_readers = _count_readers(outputs)
    return {
        writers[node]: norm
        for node, norm in readers.items()
        if node in writers and num_readers[node] == calls[norm] == calls[writers[node]] == 1
    }


def _count_readers(outputs: Sequence[torch.Tensor]) -> Counter[Any]:
    """How often the result of each node of autograd's graph is read; the network's outputs count as read."""
    counts: Counter[Any] = Counter(output.grad_fn for output in outputs)
    visited, waiting = set(), list(counts)
    while waiting:
        node = waiting.pop()
        if node in visited:
            continue
        visited.add(node)
        following = [next_node for next_node, _ in node.next_functions if next_node is not None]
        counts.update(following)
        waiting += following
    return counts
