"""A data loader that raises an :class:`InputError` of a loader process unchanged.

torch sends an exception of a loader process as text: type and traceback become the message of a new exception. Here the
error of a corrupt strip is sent in place of the batch and is raised in the training process, so its message stays one
line for a person.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

from torch.utils.data import DataLoader, Dataset, default_collate

from severstal.errors import InputError
from severstal.processes import end_with_parent


class StripLoader(DataLoader):
    """A :class:`torch.utils.data.DataLoader` of strips or crops with torch's usual collation.

    Args:
        dataset: with indexed samples.
        options: of :class:`torch.utils.data.DataLoader`, without ``collate_fn``, ``worker_init_fn`` and
            ``multiprocessing_context``.

    Raises:
        InputError: while it is iterated, as the dataset raised it.
    """

    def __init__(self, dataset: Dataset, **options: Any) -> None:
        end_with_training = partial(_end_with, os.getpid())
        if options.get("num_workers"):
            # Of trainings side by side, joblib's processes have a start method of their own, with which torch fails.
            options["multiprocessing_context"] = "fork"
        super().__init__(_ErrorsAsSamples(dataset), collate_fn=_collate, worker_init_fn=end_with_training, **options)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # torch names its own class of iterators
        for batch in super().__iter__():
            if isinstance(batch, InputError):
                raise batch
            yield batch


class _ErrorsAsSamples(Dataset):
    """The samples of another dataset; an :class:`InputError` is returned in place of the sample."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, key: Any) -> Any:
        try:
            return self._dataset[key]
        except InputError as error:
            return error


def _end_with(training: int, _: int) -> None:
    """Called by torch in each loader process, with its number; torch's own check takes up to five seconds."""
    end_with_parent(training)


def _collate(samples: list[Any]) -> Any:
    error = next((sample for sample in samples if isinstance(sample, InputError)), None)
    return error or default_collate(samples)
