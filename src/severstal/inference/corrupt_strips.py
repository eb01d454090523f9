"""What happens to a corrupt strip: it stops the run by name, or with ``--skip-corrupt`` it is predicted empty.

A strip is corrupt if its file is missing, empty, cut short, no image or has another size than the
networks were trained for (see :mod:`severstal.data.strips`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from severstal.errors import InputError


@dataclass(frozen=True)
class Batch:
    """Strips that were read together.

    Attributes:
        images: names of all strips asked for.
        decoded: names of those that could be decoded, in the same order.
        strips: the decoded strips, ``uint8 [len(decoded), H, W]``; None if there is none.
    """

    images: list[str]
    decoded: list[str]
    strips: np.ndarray | None


@dataclass
class StripReader:
    """Reads strips by name and decides what a corrupt one does.

    Attributes:
        read: returns the strip of a name, ``uint8 [H, W]``; raises :class:`InputError` if it is corrupt.
        skip_corrupt: leave corrupt strips out instead of raising.
        corrupt: name and error message of each strip that was left out.
    """

    read: Callable[[str], np.ndarray]
    skip_corrupt: bool = False
    corrupt: dict[str, str] = field(default_factory=dict)

    def read_batch(self, images: list[str]) -> Batch:
        """Read strips.

        Raises:
            InputError: naming the first corrupt strip, unless these are skipped.
        """
        decoded = {}
        for image in images:
            try:
                decoded[image] = self.read(image)
            except InputError as error:
                if not self.skip_corrupt:
                    raise
                self.corrupt[image] = str(error)
        return Batch(images, list(decoded), np.stack(list(decoded.values())) if decoded else None)
