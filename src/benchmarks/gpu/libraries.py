"""PyTorch's and CUDA's libraries, read once, lest later steps time the disk of a machine that was just started.

On one such machine the imports took 14 s and the first call of each kind of convolution 1 to 4 s, so that most steps
ran out of time (NVIDIA H200, 2026-11-27).
"""

from __future__ import annotations

import importlib.util
import json
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

PACKAGES = ("torch", "nvidia", "tensorrt_libs", "tensorrt_rtx_libs")
BLOCK = 16 << 20  # bytes


def main() -> None:
    began = time.monotonic()
    files = sorted(set(chain.from_iterable(map(libraries, PACKAGES))))
    with ThreadPoolExecutor(16) as pool:
        gigabytes = sum(pool.map(read, files)) / 1e9
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({"gigabytes": gigabytes, "summary": f"{gigabytes:.1f} GB in {seconds} s"}))


def libraries(package: str) -> list[Path]:
    """The shared libraries of an installed package; none if it is not installed."""
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations if spec else None) or []
    return [path.resolve() for folder in folders for path in Path(folder).rglob("*.so*") if path.is_file()]


def read(path: Path) -> int:
    """Read a file and forget it; its number of bytes."""
    with path.open("rb", buffering=0) as file:
        return sum(map(len, iter(lambda: file.read(BLOCK), b"")))


if __name__ == "__main__":
    main()
