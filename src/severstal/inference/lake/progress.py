"""Progress with the time left: a bar on a terminal, a line a minute in a log."""

from __future__ import annotations

import logging
import sys
import threading
import time
from types import TracebackType

from tqdm import tqdm

from severstal.console import duration

INTERVAL = 60.0  # seconds between lines of a log

logger = logging.getLogger(__name__)


class Progress:
    """Counts images, as a context."""

    def __init__(self, total: int, interval: float = INTERVAL) -> None:
        self.count, self._total, self._interval = 0, total, interval
        self._began = time.monotonic()
        self._ended = threading.Event()
        self._bar = tqdm(total=total, desc="predict", unit="image", leave=False, disable=None)
        self._lines = threading.Thread(target=self._write_lines, daemon=True)

    def __enter__(self) -> Progress:
        if not sys.stderr.isatty():
            self._lines.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        if self._lines.is_alive():
            self._lines.join()
        self._bar.close()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._began

    def add(self, count: int) -> None:
        """Count images as done."""
        self.count += count
        self._bar.update(count)

    def line(self) -> str:
        """How far it is, and the time left at the mean speed so far."""
        text = f"{self.count:,} of {self._total:,} images"
        if not self.count:
            return text
        left = self.seconds * (self._total - self.count) / self.count
        return f"{text}, {self.count / self.seconds:.1f} per second, {duration(left)} left"

    def _write_lines(self) -> None:
        while not self._ended.wait(self._interval):
            logger.info(self.line())
