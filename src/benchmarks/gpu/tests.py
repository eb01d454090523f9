"""The tests that need a GPU; without one all of them are skipped."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


class Outcomes:
    """Counts the outcomes of tests."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.counts[report.outcome] += 1


def main() -> None:
    outcomes = Outcomes()
    arguments = ["-q", "-m", "gpu", "-p", "no:cacheprovider", "--rootdir", str(ROOT), str(ROOT / "tests" / "gpu")]
    code = pytest.main(arguments, plugins=[outcomes])
    counts = outcomes.counts
    summary = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) or "no test ran"
    print(json.dumps(dict(counts) | {"summary": summary}))
    sys.exit(int(code))


if __name__ == "__main__":
    main()
