"""Threads that a network trains with on a CPU: as many after an interruption as before it.

With another number of threads sums are added in another order, and the weights differ in their last bits. The number
therefore follows from what a command asks for, never from how many of its networks are still to be trained.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from severstal.hardware import core_count, gpu_count


def threads_of_each(concurrency: int) -> int | None:
    """Threads of each of several networks that train at once on this machine.

    None where torch's own number holds: for one network at a time, beside a GPU, where results repeat only nearly
    anyway, and where ``OMP_NUM_THREADS`` names a number.
    """
    if concurrency == 1 or gpu_count() or os.environ.get("OMP_NUM_THREADS"):
        return None
    return max(core_count() // concurrency, 1)  # as joblib divides the cores among its processes


@contextmanager
def torch_threads(number: int | None) -> Iterator[None]:
    """Let torch compute with so many threads; afterwards with as many as before, whatever was chosen meanwhile.

    Args:
        number: None to leave it as it is.
    """
    import torch  # takes seconds

    earlier = torch.get_num_threads()
    try:
        if number is not None:
            torch.set_num_threads(number)
        yield
    finally:
        torch.set_num_threads(earlier)
