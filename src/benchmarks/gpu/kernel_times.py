"""Which kernels the time of one training step goes to, and how long the GPU was busy."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

LISTED = 5
NAME_LENGTH = 90  # characters; names of templates are longer


def kernel_times(step: Callable[[], object]) -> dict[str, Any]:
    """Profile one call.

    Returns:
        ``busy``: seconds of all kernels by seconds of the call, which the profiler lengthens; ``slowest``: names of
        kernels and their shares of the kernels' time. On a CPU the operators stand for kernels.
    """
    is_gpu = torch.cuda.is_available()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_gpu else [])]
    with profile(activities=activities) as recorded:
        began = time.perf_counter()
        step()
        if is_gpu:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - began
    microseconds: dict[str, float] = {}
    for event in recorded.key_averages():
        if event.device_type == (DeviceType.CUDA if is_gpu else DeviceType.CPU) and not event.is_user_annotation:
            own = event.self_device_time_total if is_gpu else event.self_cpu_time_total
            name = event.key[:NAME_LENGTH]
            microseconds[name] = microseconds.get(name, 0.0) + own
    total = sum(microseconds.values())
    slowest = sorted(microseconds, key=lambda name: -microseconds[name])[:LISTED]
    shares = {name: round(microseconds[name] / total, 3) for name in slowest} if total else {}
    return {"busy": round(total / 1e6 / seconds, 3), "slowest": shares}
