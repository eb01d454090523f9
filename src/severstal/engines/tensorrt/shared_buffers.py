"""Which library holds the memory on the GPU: pycuda where it is installed, else torch."""

from __future__ import annotations

import importlib.util
from functools import cache

from severstal.engines.tensorrt.buffers import Buffers


@cache
def shared_buffers() -> Buffers:
    """The buffers of this process, which all engines share: pycuda's where it is installed, else torch's.

    pycuda comes first because it needs no PyTorch.

    Raises:
        InputError: if there is no GPU.
    """
    if importlib.util.find_spec("pycuda"):
        from severstal.engines.tensorrt.pycuda_buffers import PycudaBuffers

        return PycudaBuffers()
    from severstal.engines.tensorrt.torch_buffers import TorchBuffers

    return TorchBuffers()
