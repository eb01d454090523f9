"""Where things lie. No other file puts a file name together.

The three top-level folders can be replaced on any command line (``--input``, ``--folds``,
``--submissions``), so several data sets or experiments live side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class FoldPaths:
    """Everything of one encoder and fold; deleting ``folder`` is how to redo it."""

    folder: Path

    @property
    def config(self) -> Path:
        """What was asked for and measured from the data: written when training starts."""
        return self.folder / "config.json"

    @property
    def checkpoint(self) -> Path:
        """State after the last whole epoch; gone once training is complete."""
        return self.folder / "checkpoint.pt"

    @property
    def log(self) -> Path:
        return self.folder / "log.jsonl"

    @property
    def tensorboard(self) -> Path:
        return self.folder / "tensorboard"

    @property
    def weights(self) -> Path:
        return self.folder / "weights.safetensors"

    @property
    def oof(self) -> Path:
        """Out-of-fold probabilities: one array per validation strip."""
        return self.folder / "oof.npz"

    @property
    def onnx(self) -> Path:
        return self.folder / "model.onnx"

    def engine(self, name: str) -> Path:
        """The file that an engine of its own format is kept in, such as ``model.tensorrt``."""
        return self.folder / f"model.{name}"

    def sidecar(self, name: str) -> Path:
        """What an engine was made from and how well it matches: ``model.<engine>.json``."""
        return self.folder / f"model.{name}.json"

    def sidecars(self) -> list[Path]:
        """The JSON files of every engine that there is."""
        return sorted(self.folder.glob("model.*.json"))


@dataclass(frozen=True)
class PseudoPaths:
    """Pseudo-labels of one folder of strips; any fold reads its own table only."""

    folder: Path

    @property
    def record(self) -> Path:
        """Which networks labelled which strips: written last, so that with it everything is complete."""
        return self.folder / "pseudo.json"

    @property
    def verdicts(self) -> Path:
        """What was found of every strip and class by each fold's networks, taken or not."""
        return self.folder / "verdicts.csv"

    def labels(self, fold: int) -> Path:
        """Strips that the fold's networks are sure of, in the form of train.csv, four rows each."""
        return self.folder / f"fold_{fold}.csv"


@dataclass(frozen=True)
class Paths:
    """The three folders of one experiment and the files in them."""

    input: Path = ROOT / "input"
    folds: Path = ROOT / "folds"
    submissions: Path = ROOT / "submissions"

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
        """Labels of the test strips, in the form of train.csv; the synthetic set has them."""
        return self.input / "test_truth.csv"

    @property
    def synthetic_marker(self) -> Path:
        """What a synthetic data set was drawn from; a folder without this file holds real strips."""
        return self.input / "SYNTHETIC.json"

    @property
    def is_synthetic(self) -> bool:
        """Whether the input folder holds a complete synthetic data set."""
        return self.synthetic_marker.is_file()

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
        """The tuned grid of a class, to look at."""
        return self.folds / "tuning" / f"class_{defect}.png"

    def grid_table(self, defect: int) -> Path:
        """The same as numbers: a row per threshold, a column per minimum area."""
        return self.folds / "tuning" / f"class_{defect}.csv"

    def strip_cache(self, key: str) -> Path:
        """Decoded training strips, one after the other; training makes it, and it may be deleted at any time."""
        return self.folds / "cache" / f"{key}.grey"

    def pseudo_cache(self, key: str) -> Path:
        """The same of pseudo-labelled strips."""
        return self.folds / "cache" / "pseudo" / f"{key}.grey"

    @property
    def pseudo(self) -> PseudoPaths:
        """Where pseudo-labels go by default."""
        return PseudoPaths(self.folds / "pseudo")

    @property
    def strip_scores(self) -> Path:
        """Dice of every training strip and class, by default, tuned and nested values."""
        return self.folds / "tuning" / "strips.csv"

    @property
    def classifier_table(self) -> Path:
        """What each use of the classification head is worth, where networks have one."""
        return self.folds / "tuning" / "classifier.csv"

    @property
    def times(self) -> Path:
        """How long each stage took when it last had something to do."""
        return self.folds / "times.json"

    @property
    def timing_cache(self) -> Path:
        """TensorRT's measurements, shared by all folds: the second engine of a network builds faster."""
        return self.folds / "tensorrt_timing.cache"

    @property
    def submission(self) -> Path:
        return self.submissions / "submission.csv"

    @property
    def submission_report(self) -> Path:
        """How the submission came about: members, values, counts and scores."""
        return self.submissions / "submission.json"

    @property
    def report_page(self) -> Path:
        """The whole run to look at, in one file."""
        return self.submissions / "report.html"

    @property
    def report_facts(self) -> Path:
        """The numbers on that page."""
        return self.submissions / "report.json"

    @property
    def inspected(self) -> Path:
        """Where overlays of one's own strips go by default."""
        return self.submissions / "inspected"

    def overlay(self, folder: Path, image: str) -> Path:
        """A strip with its defects drawn."""
        return folder / f"{Path(image).stem}_defects.jpg"

    def inspected_table(self, folder: Path) -> Path:
        """Areas per class of the strips beside it."""
        return folder / "defects.csv"

    @property
    def gpu_check(self) -> Path:
        """What the engines gave on this machine's GPU."""
        return self.submissions / "gpu_check.json"

    @property
    def kaggle_dataset(self) -> Path:
        """What Kaggle's client uploads as a data set."""
        return self.submissions / "kaggle" / "dataset"

    @property
    def kaggle_kernel(self) -> Path:
        """What it uploads as a notebook."""
        return self.submissions / "kaggle" / "kernel"

    def fold(self, encoder: str, fold: int) -> FoldPaths:
        return FoldPaths(self.folds / encoder / str(fold))
