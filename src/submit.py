"""Submit with Kaggle's client: the packaged notebook, which the competition takes, or a file.

With --notebook, reads submissions/kaggle/ (of bin/package_kaggle.sh), uploads data set and notebook, waits until the
notebook has run, submits its submission.csv and waits for the score. Without --notebook, checks a submission file
against input/test_images/ and input/sample_submission.csv and uploads it, for competitions that take files.

    bash bin/submit.sh --notebook --dry-run      print what would be uploaded and done
    bash bin/submit.sh --notebook
    bash bin/submit.sh --dry-run                 only check the file
    bash bin/submit.sh --message "four encoders"
    bash bin/submit.sh other.csv
"""

from __future__ import annotations

from pathlib import Path

from severstal.console import Stage, parser, path, paths_of
from severstal.data import strips
from severstal.errors import InputError, run_stage
from severstal.inference import submission
from severstal.kaggle.code_submission import describe_upload, submit_notebook
from severstal.kaggle.file_submission import submit_file
from severstal.paths import Paths


def main() -> None:
    command_line = parser(__doc__)
    command_line.add_argument("file", nargs="?", type=path, help="default: submission.csv of --submissions")
    command_line.add_argument("--dry-run", action="store_true", help="stop before the upload")
    command_line.add_argument("--message", default="severstal", help="shown beside the score on Kaggle")
    command_line.add_argument("--notebook", action="store_true", help="submit the packaged notebook")
    options = command_line.parse_args()
    paths = paths_of(options)
    stage = Stage("submit", paths)
    if options.notebook:
        with_notebook(stage, paths, options.message, dry_run=options.dry_run)
    else:
        with_file(stage, paths, options.file or paths.submission, options.message, dry_run=options.dry_run)
    stage.done(keep_time=False)


def with_notebook(stage: Stage, paths: Paths, message: str, *, dry_run: bool) -> None:
    if dry_run:
        for line in describe_upload(paths):
            stage.say(line)
        stage.say("dry run: nothing was uploaded")
        return
    refuse_synthetic(paths)
    score = submit_notebook(paths, message)
    stage.say(f"public score {score}" if score else "scored; Kaggle gives no public score")


def with_file(stage: Stage, paths: Paths, file: Path, message: str, *, dry_run: bool) -> None:
    form = submission.form_of(paths)
    height, width = strips.read(paths.test_images / form.images[0]).shape
    counts = submission.check(file, form, height, width)
    stage.read(file)
    for line in counts.lines():
        stage.say(line)
    stage.say(f"valid: {len(form.images)} strips, {4 * len(form.images)} rows")
    if dry_run:
        stage.say("dry run: nothing was uploaded")
        return
    refuse_synthetic(paths)
    submit_file(file, message)
    stage.say("uploaded")


def refuse_synthetic(paths: Paths) -> None:
    if paths.is_synthetic:
        raise InputError(
            f"{paths.input} holds synthetic steel, which Kaggle cannot score: download the competition's files "
            "into another folder (bin/download_data.sh --input DIR) first"
        )


if __name__ == "__main__":
    run_stage(main)
