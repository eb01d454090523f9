"""Depthwise convolutions of a training on a CPU: the same results as PyTorch's, and bfloat16 where it is fast."""

from __future__ import annotations

import copy

import pytest
import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from severstal.training.depthwise import speed_up_depthwise


def depthwise(size: int, stride: int = 1, kind: type[nn.Conv2d] = nn.Conv2d, *, bias: bool = False) -> nn.Conv2d:
    """A depthwise convolution of eight channels."""
    torch.manual_seed(0)
    padding = 0 if kind is Conv2dSame else size // 2
    return kind(8, 8, size, stride, padding=padding, groups=8, bias=bias)


def output_and_gradients(network: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The output, and the gradients of the input and of each parameter."""
    x = x.clone().requires_grad_()
    output = network(x)
    (output.float() * torch.arange(output.numel()).reshape(output.shape).sin()).sum().backward()
    return [output.detach(), x.grad, *(parameter.grad for parameter in network.parameters())]


@pytest.mark.parametrize("size", [(12, 9), (20, 30)], ids=["small map", "large map"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "convolution",
    [
        depthwise(3),
        depthwise(5),
        depthwise(7),
        depthwise(5, bias=True),
        depthwise(3, stride=2),
        depthwise(5, stride=2, kind=Conv2dSame),
    ],
    ids=str,
)
def test_outputs_and_gradients_are_those_of_pytorch(convolution: nn.Conv2d, memory_format, size) -> None:
    plain, faster = (nn.Sequential(copy.deepcopy(convolution)) for _ in range(2))
    speed_up_depthwise(faster)
    x = torch.randn(3, 8, *size, generator=torch.Generator().manual_seed(1)).to(memory_format=memory_format)
    expected, found = output_and_gradients(plain, x), output_and_gradients(faster, x)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)
        assert other.shape == one.shape


def test_only_small_kernels_with_stride_1_compute_in_bfloat16() -> None:
    dtypes = {}
    for convolution in (depthwise(3), depthwise(5), depthwise(3, stride=2)):
        network = nn.Sequential(convolution)
        speed_up_depthwise(network)
        with torch.autocast("cpu", torch.bfloat16):
            dtypes[convolution.kernel_size[0], convolution.stride[0]] = network(torch.ones(1, 8, 8, 8)).dtype
    assert dtypes == {(3, 1): torch.bfloat16, (5, 1): torch.float32, (3, 2): torch.float32}


def test_other_convolutions_and_the_names_of_weights_stay() -> None:
    network = nn.Sequential(nn.Conv2d(8, 8, 5, padding=2), nn.Conv2d(8, 16, 5, groups=2), depthwise(5))
    kinds, names = [type(module) for module in network], list(network.state_dict())
    speed_up_depthwise(network)
    assert [type(module) for module in network][:2] == kinds[:2]
    assert isinstance(network[2], nn.Conv2d)
    assert list(network.state_dict()) == names
