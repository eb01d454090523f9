"""Build the two folders that Kaggle's client uploads: a data set with the networks, and the notebook that predicts.

Reads src/, folds/recipe.json, folds/postprocess.json and every network's config.json, weights.safetensors and
model.onnx; writes submissions/kaggle/dataset/ and submissions/kaggle/kernel/.

    bash bin/package_kaggle.sh
    bash bin/package_kaggle.sh --tensorrt         with TensorRT's wheels, some 2 GB
    bash bin/package_kaggle.sh --no-wheels        offline
"""

from __future__ import annotations

from pathlib import Path

from severstal.commands import command
from severstal.console import Stage, parser, paths_of
from severstal.errors import run_stage
from severstal.experiment import synthetic_origin
from severstal.folder_paths import KaggleDatasetPaths
from severstal.inference.members import ready_members
from severstal.kaggle import package
from severstal.postprocess import tuned_values
from severstal.run_lock import run_lock


def main() -> None:
    command_line = parser(__doc__)
    command_line.add_argument(
        "--user", default=package.OWNER, help="your Kaggle user; by default submit.sh takes it from the token"
    )
    command_line.add_argument("--no-wheels", action="store_true", help="download no wheels from PyPI")
    command_line.add_argument("--tensorrt", action="store_true", help="add TensorRT's wheels, some 2 GB")
    options = command_line.parse_args()
    paths = paths_of(options)
    stage = Stage("package for Kaggle", paths)
    values = tuned_values.read(paths)
    members = ready_members(paths, values)
    stage.read(f"{len(members)} networks of {paths.folds}", paths.postprocess)
    dataset = KaggleDatasetPaths(paths.kaggle_dataset)
    with run_lock(paths.kaggle_dataset.parent, leftovers=[paths.kaggle_dataset, paths.kaggle_kernel]):
        package.write_dataset(paths.kaggle_dataset, paths, members, values, options.user)
        package.write_kernel(paths.kaggle_kernel, options.user)
        if not options.no_wheels:
            package.fetch_wheels(dataset.wheels, package.TENSORRT if options.tensorrt else ())
    stage.wrote(paths.kaggle_dataset, paths.kaggle_kernel)
    for folder in (dataset.code, dataset.folds, dataset.wheels):
        files = files_of(folder)
        stage.say(f"{folder.name}: {sum(file.stat().st_size for file in files) / 1e6:.1f} MB in {len(files)} files")
    if origin := synthetic_origin(members):
        stage.say(f"these networks were {origin}: use them to try the procedure, not for a score")
    stage.say(f"next: `{command(paths, 'submit', '--notebook', '--dry-run')}` shows what would be uploaded")
    stage.done(keep_time=False)


def files_of(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


if __name__ == "__main__":
    run_stage(main)
