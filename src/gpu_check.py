"""Everything that only a GPU can show, in one call: tests, training, resuming, export, engines, memory, time limit.

Each step runs in a process of its own under its own time limit, and the limits add up to the time of the whole check. A
step is a line of JSON; what it measures meanwhile is printed at once. A step that fails does not stop the others, and
one whose packages are not installed is skipped with a line that says so. At the end comes a table in Markdown for
docs/status.md. Writes under submissions/gpu_check/ only. Nothing is installed or downloaded: any Python with PyTorch
and the packages of requirements.txt will do. Without a GPU that PyTorch can use, the first step says so and the others
are skipped. The exit code is 2 if a step failed, or none could run.

    bash bin/gpu_check.sh                 8 minutes at most
    bash bin/gpu_check.sh --quick         4 minutes at most
    python3 src/gpu_check.py              with the Python of this machine
    bash bin/gpu_check.sh --stand-in      the same steps without a GPU, as small as they can be
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
from pathlib import Path

from benchmarks.gpu import plan
from benchmarks.gpu.steps import Result, describe, exit_code, run_all

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # ends the step's processes on the way out
    sizes = plan.STAND_IN if options.stand_in else plan.QUICK if options.quick else plan.FULL
    output = options.output.resolve()
    work, logs, lines = output / "work", output / "logs", output / "results.jsonl"
    steps = plan.steps(sizes, work)
    chosen = [step for step in steps if step.name.startswith(tuple(options.only.split(",")))]
    if not chosen:
        print(f"error: no step begins with {options.only}: {', '.join(step.name for step in steps)}", file=sys.stderr)
        sys.exit(2)
    known = read_results(lines) if options.only else {}
    if not options.only:
        for folder in (work, logs):  # of an earlier run; nothing else in the folder is touched
            shutil.rmtree(folder, ignore_errors=True)
    output.mkdir(parents=True, exist_ok=True)
    print(describe(chosen), flush=True)
    for result in run_all(chosen, logs, lambda line: print(line, flush=True)):
        known[result.step] = result
        print(result.line(), flush=True)
        # Written again after each step: whatever ends the check early, what is known is in the files.
        results = [known[step.name] for step in steps if step.name in known]
        lines.write_text("".join(one.line() + "\n" for one in results), encoding="utf-8")
        (output / "table.md").write_text("\n".join(table(results)) + "\n", encoding="utf-8")
    print(*table(results), sep="\n")
    sys.exit(exit_code(known[step.name] for step in chosen))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="fewer steps, modes and engines")
    size.add_argument("--stand-in", action="store_true", help="on a machine without a GPU, to prove the steps")
    parser.add_argument(
        "--only",
        default="",
        metavar="A,B",
        help="only steps whose names begin so, on the files of an earlier run, whose other results stay in the table",
    )
    parser.add_argument("--output", type=Path, default=ROOT / "submissions" / "gpu_check", metavar="DIR")
    return parser.parse_args()


def read_results(path: Path) -> dict[str, Result]:
    """The results of an earlier run by their step; empty if there was none."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {record["step"]: Result(**record) for record in map(json.loads, lines)}


def table(results: list[Result]) -> list[str]:
    """The results in Markdown, a row each."""
    rows = [("step", "result", "seconds"), ("---", "---", "---")]
    for result in results:
        texts = [result.facts.get("summary", "")]
        if result.status != "ok":
            texts.insert(0, f"**{result.status}**: {result.reason}")
        rows.append((result.step, "; ".join(filter(None, texts)).replace("|", "\\|"), f"{result.seconds:.0f}"))
    return [f"| {' | '.join(row)} |" for row in rows]


if __name__ == "__main__":
    main()
