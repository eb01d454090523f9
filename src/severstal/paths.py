"""Where all files of a project are. File names are put together here and in ``folder_paths.py`` only.

Each command line can name other folders (``--input``, ``--folds``, ``--submissions``), so that several data sets or
experiments can be kept beside each other.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from severstal.folder_paths import FoldPaths, InspectionPaths, PseudoPaths

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Paths:
    """The three folders of one experiment and the files in them."""

    input: Path = ROOT / "input"
    folds: Path = ROOT / "folds"
    submissions: Path = ROOT / "submissions"

    @classmethod
    def under(cls, root: Path) -> Paths:
        """The three folders inside another one, with their usual names."""
        return cls(root / "input", root / "folds", root / "submissions")

    @property
    def train_csv(self) -> Path:
        return self.input / "train.csv"

    @property
    def train_images(self) -> Path:
        return self.input / "train_images"

    @property
    def test_images(self) -> Path:
        return self.input / "test_images"

    @property
    def sample_submission(self) -> Path:
        return self.input / "sample_submission.csv"

    @property
    def test_truth(self) -> Path:
        """True labels of the test strips, in the form of train.csv; a synthetic data set has them."""
        return self.input / "test_truth.csv"

    @property
    def synthetic_marker(self) -> Path:
        """What a synthetic data set was drawn from; written last. A folder without this file holds real strips."""
        return self.input / "SYNTHETIC.json"

    @property
    def is_synthetic(self) -> bool:
        """Whether the input folder holds a complete synthetic data set."""
        return self.synthetic_marker.is_file()

    @property
    def synthetic_build(self) -> Path:
        """Where a synthetic data set is drawn; inside the input folder, so that moving its parts is a rename."""
        return self.input / ".synthetic"

    @property
    def folds_csv(self) -> Path:
        return self.folds / "folds.csv"

    @property
    def recipe(self) -> Path:
        return self.folds / "recipe.json"

    @property
    def postprocess(self) -> Path:
        return self.folds / "postprocess.json"

    def grid_picture(self, defect: int) -> Path:
        """The tuned grid of a class as a picture."""
        return self.folds / "tuning" / f"class_{defect}.png"

    def grid_table(self, defect: int) -> Path:
        """The tuned grid of a class as numbers: a row and a column per value of the two axes that the picture shows."""
        return self.folds / "tuning" / f"class_{defect}.csv"

    def strip_cache(self, key: str) -> Path:
        """Decoded training strips, one after the other; training writes it again if it is deleted."""
        return self.folds / "cache" / f"{key}.grey"

    def pseudo_cache(self, key: str) -> Path:
        """Decoded pseudo-labelled strips."""
        return self.folds / "cache" / "pseudo" / f"{key}.grey"

    @property
    def pseudo(self) -> PseudoPaths:
        """The default folder of pseudo-labels."""
        return PseudoPaths(self.folds / "pseudo")

    @property
    def strip_scores(self) -> Path:
        """Dice of every training strip and class with default, tuned and nested values."""
        return self.folds / "tuning" / "strips.csv"

    @property
    def classifier_table(self) -> Path:
        """Score of each use of the classification head, where the networks have one."""
        return self.folds / "tuning" / "classifier.csv"

    @property
    def times(self) -> Path:
        """How long each stage took when it last wrote something."""
        return self.folds / "times.json"

    def timing_cache(self, machine: str) -> Path:
        """TensorRT's timing cache, shared by all folds: the second engine of an encoder is built faster.

        Args:
            machine: names the library, the GPU and the driver; times measured with others mislead the builder.
        """
        return self.folds / "cache" / "tensorrt" / f"{machine}.timing"

    def written_folders(self) -> list[Path]:
        """The folders inside the folds folder into which stages write."""
        caches = [self.strip_cache("").parent, self.pseudo_cache("").parent, self.timing_cache("").parent]
        return [*caches, self.strip_scores.parent, self.pseudo.folder, *sorted(self.folds.glob("*/[0-9]*"))]

    @property
    def submission(self) -> Path:
        return self.submissions / "submission.csv"

    @property
    def submission_report(self) -> Path:
        """What the submission was made from: members, values, counts and scores."""
        return self.submissions / "submission.json"

    @property
    def report_page(self) -> Path:
        """The report of the run, one HTML file."""
        return self.submissions / "report.html"

    @property
    def report_facts(self) -> Path:
        """The numbers of the report."""
        return self.submissions / "report.json"

    @property
    def inspected(self) -> InspectionPaths:
        """The default folder of overlays of a user's own strips."""
        return InspectionPaths(self.submissions / "inspected")

    @property
    def engine_benchmark(self) -> Path:
        """Results of the check of all engines on this machine's GPU."""
        return self.submissions / "benchmark_engines.json"

    @property
    def kaggle_dataset(self) -> Path:
        """What Kaggle's client uploads as a data set; see :class:`severstal.folder_paths.KaggleDatasetPaths`."""
        return self.submissions / "kaggle" / "dataset"

    @property
    def kaggle_kernel(self) -> Path:
        """What Kaggle's client uploads as a notebook; see :class:`severstal.folder_paths.KaggleKernelPaths`."""
        return self.submissions / "kaggle" / "kernel"

    def fold(self, encoder: str, fold: int) -> FoldPaths:
        return FoldPaths(self.folds / encoder / str(fold))


def is_synthetic_folder(images: Path) -> bool:
    """Whether strips in a folder, or below it, are those of a synthetic data set."""
    return any(Paths(input=folder).is_synthetic for folder in (images.resolve(), images.resolve().parent))


def gpu_lock(uuid: str, folder: Path | None = None) -> Path:
    """The file whose lock reserves a GPU of this machine; in the system's temporary folder by default."""
    return (folder or Path(tempfile.gettempdir())) / f"severstal-{uuid.replace('/', '-')}.lock"
