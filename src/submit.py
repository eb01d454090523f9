"""Check a submission file against the test strips and upload it with the Kaggle client.

Reads a submission, input/test_images/ and input/sample_submission.csv; writes nothing.

    bash bin/submit.sh --dry-run                 check only
    bash bin/submit.sh --message "four encoders"
    bash bin/submit.sh other.csv
"""

from __future__ import annotations

from pathlib import Path

from severstal import strips, submission
from severstal.command_line import parser, paths_of
from severstal.errors import InputError, run_stage
from severstal.madeup import is_made_up
from severstal.stage import Stage


def main() -> None:
    made = parser(__doc__)
    made.add_argument("file", nargs="?", type=Path, help="default: submission.csv of --submissions")
    made.add_argument("--dry-run", action="store_true", help="stop before the upload")
    made.add_argument("--message", default="severstal", help="shown beside the score on Kaggle")
    options = made.parse_args()
    paths = paths_of(options)
    stage = Stage("submit", paths)
    file = options.file or paths.submission
    form = submission.form_of(paths)
    height, width = strips.read(paths.test_images / form.images[0]).shape
    counts = submission.check(file, form, height, width)
    stage.read(file)
    for line in counts.lines():
        stage.say(line)
    stage.say(f"valid: {len(form.images)} strips, {4 * len(form.images)} rows")
    if options.dry_run:
        stage.say("dry run: nothing was uploaded")
    elif is_made_up(paths.input):
        raise InputError(
            f"{paths.input} holds made-up steel, which Kaggle cannot score: run bin/download_data.sh first"
        )
    else:
        from severstal import kaggle

        kaggle.submit(file, options.message)
        stage.say("uploaded")
    stage.done()


if __name__ == "__main__":
    run_stage(main)
