"""Submit with Kaggle's client: the packaged notebook, which the competition takes, or a file.

With --notebook, reads submissions/kaggle/ (of bin/package_kaggle.sh), uploads data set and notebook, waits until it has
run, submits what it wrote and waits for the score. Without, checks a submission file against input/test_images/ and
input/sample_submission.csv and uploads it, where a competition takes files.

    bash bin/submit.sh --notebook --dry-run      what would be uploaded and done
    bash bin/submit.sh --notebook
    bash bin/submit.sh --dry-run                 check a file only
    bash bin/submit.sh --message "four encoders"
    bash bin/submit.sh other.csv
"""

from __future__ import annotations

from pathlib import Path

from severstal.console import Stage, parser, paths_of
from severstal.data import strips
from severstal.errors import InputError, run_stage
from severstal.inference import submission
from severstal.paths import Paths


def main() -> None:
    made = parser(__doc__)
    made.add_argument("file", nargs="?", type=Path, help="default: submission.csv of --submissions")
    made.add_argument("--dry-run", action="store_true", help="stop before the upload")
    made.add_argument("--message", default="severstal", help="shown beside the score on Kaggle")
    made.add_argument("--notebook", action="store_true", help="submit by the packaged notebook")
    options = made.parse_args()
    paths = paths_of(options)
    stage = Stage("submit", paths)
    if options.notebook:
        submit_notebook(stage, paths, options.message, dry=options.dry_run)
    else:
        submit_file(stage, paths, options.file, options.message, dry=options.dry_run)
    stage.done(keep_time=False)


def submit_notebook(stage: Stage, paths: Paths, message: str, *, dry: bool) -> None:
    from severstal.kaggle import notebook

    if dry:
        for line in notebook.plan(paths.kaggle_dataset, paths.kaggle_kernel):
            stage.say(line)
        stage.say("dry run: nothing was uploaded")
        return
    refuse_synthetic(paths)
    score = notebook.push(paths.kaggle_dataset, paths.kaggle_kernel, message, stage.say)
    stage.say(f"public score {score}" if score else "scored; Kaggle gives no public score")


def refuse_synthetic(paths: Paths) -> None:
    if paths.is_synthetic:
        raise InputError(
            f"{paths.input} holds synthetic steel, which Kaggle cannot score: run bin/download_data.sh first"
        )


def submit_file(stage: Stage, paths: Paths, given: Path | None, message: str, *, dry: bool) -> None:
    file = given or paths.submission
    form = submission.form_of(paths)
    height, width = strips.read(paths.test_images / form.images[0]).shape
    counts = submission.check(file, form, height, width)
    stage.read(file)
    for line in counts.lines():
        stage.say(line)
    stage.say(f"valid: {len(form.images)} strips, {4 * len(form.images)} rows")
    if dry:
        stage.say("dry run: nothing was uploaded")
        return
    refuse_synthetic(paths)
    from severstal.kaggle import client

    client.submit(file, message)
    stage.say("uploaded")


if __name__ == "__main__":
    run_stage(main)
