"""One run of pseudo-labelling: a folder of strips becomes a table of labels per fold, with the reasons and a record."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from severstal.artifacts import Artifact, file_hash, listing_hash, replacing
from severstal.commands import command
from severstal.data import pseudo_labels, rle, strips
from severstal.data.labels import CLASSES
from severstal.data.training_set import read_training_set
from severstal.errors import InputError
from severstal.inference.assessment import Limits, Outcome
from severstal.inference.pseudo_labelling import Labeller
from severstal.paths import Paths, PseudoPaths
from severstal.postprocess import tuned_values

METHOD_VERSION = 2  # raised when the same answers of the networks would give other outcomes
NEAR_DUPLICATE = "near-duplicate of a labelled strip"


@dataclass(frozen=True)
class PseudoLabellingRun:
    """What is labelled, and with which networks.

    Attributes:
        folder: of the strips.
        images: their names.
        labeller: the networks of all folds.
        engine: name of the engine that runs them.
        output: where the labels are written.
    """

    folder: Path
    images: list[str]
    labeller: Labeller
    engine: str
    output: PseudoPaths

    @classmethod
    def of(
        cls, paths: Paths, images: Path | None, output: Path | None, engine: str, limits: Limits
    ) -> PseudoLabellingRun:
        """Find the strips and the networks.

        Args:
            images: a folder of strips; None for the test strips.
            output: a folder for the labels; None for ``pseudo/`` in the folds folder.
            engine: name of an installed engine.

        Raises:
            InputError: if a strip or a network is missing, or if the strips are the labelled ones.
        """
        folder = images.resolve() if images else paths.test_images
        data, names = read_training_set(paths), strips.listing(folder)
        if folder == paths.train_images.resolve():
            raise InputError(f"{folder} holds the labelled strips: name a folder of others with --images")
        labeller = Labeller.of(paths, data, tuned_values.read(paths), limits)
        return cls(folder, names, labeller, engine, PseudoPaths(output.resolve()) if output else paths.pseudo)

    @property
    def num_networks(self) -> int:
        return sum(len(fold.members) for fold in self.labeller.folds)

    def artifact(self) -> Artifact:
        """The files on disk, and all that decides their content."""
        folds = self.labeller.folds
        inputs = {
            "folder": str(self.folder),
            "strips": listing_hash(self.folder, self.images),
            "training_set": self.labeller.data.fingerprint,
            "networks": {member.name: file_hash(member.files.onnx) for fold in folds for member in fold.members},
            "choices": [fold.choice.model_dump(mode="json") for fold in folds],
            "limits": asdict(self.labeller.limits),
            "engine": self.engine,
        }
        return Artifact(self.output.record, inputs, METHOD_VERSION, (*self._tables(), self.output.assessments))

    def files(self) -> list[Path]:
        """The files that :meth:`label` writes."""
        return [*self._tables(), self.output.assessments, self.output.record]

    def label(self) -> None:
        """Assess every strip by the networks of every fold; write the tables and, last, the record."""
        artifact = self.artifact()
        self.output.record.unlink(missing_ok=True)  # it describes tables that are now replaced
        accepted, table = self._assess()
        for fold, codes in enumerate(accepted):
            pseudo_labels.write_labels(self.output.labels(fold), codes)
        with replacing(self.output.assessments) as temporary:
            table.sort_values(["ImageId", "fold"]).to_csv(temporary, index=False)
        networks = [
            (
                {member.name: member.weights_hash() for member in fold.members},
                self.labeller.data.images(fold.fold, held_out=True),
            )
            for fold in self.labeller.folds
        ]
        pseudo_labels.write_record(
            self.output, artifact, self.folder, accepted, networks, count_outcomes(table), self._quality()
        )

    def _tables(self) -> list[Path]:
        return [self.output.labels(fold.fold) for fold in self.labeller.folds]

    def _assess(self) -> tuple[list[dict[str, list[str]]], pd.DataFrame]:
        """The codes of the strips that each fold accepts, and a row of outcomes for every strip and fold."""
        folds = self.labeller.folds
        duplicates = self.labeller.near_duplicates_of_labelled(self.folder, self.images)
        rows: list[tuple[str | int, ...]] = [
            (image, fold.fold, *[NEAR_DUPLICATE] * len(CLASSES)) for image in duplicates for fold in folds
        ]
        remaining = [image for image in self.images if image not in set(duplicates)]
        accepted: list[dict[str, list[str]]] = [{} for _ in folds]
        assessments = self.labeller.assess(self.folder, remaining, self.engine)
        total = len(remaining) * len(folds)
        for image, fold, assessment in tqdm(assessments, "assess", total=total, leave=False, disable=None):
            rows.append((image, fold, *map(str, assessment.outcomes)))
            if assessment.is_accepted:
                accepted[fold][image] = [rle.encode(mask) for mask in assessment.masks]
        columns = ["ImageId", "fold", *(f"class_{defect}" for defect in CLASSES)]
        return accepted, pd.DataFrame(rows, columns=columns)

    def _quality(self) -> pseudo_labels.HeldOutQuality:
        """The Dice of labels that were made in the same way for strips whose truth is known."""
        accepted, dices = self.labeller.assess_held_out()
        return pseudo_labels.HeldOutQuality(
            strips=len(accepted),
            taken=int(accepted.sum()),
            dice=dices.mean(axis=0).tolist(),
            dice_of_taken=dices[accepted].mean(axis=0).tolist() if accepted.any() else None,
        )

    def summary(self) -> list[str]:
        """Lines on the labels on disk: strips accepted, why others were rejected, and how good the labels are."""
        record = pseudo_labels.read_record(self.output, command(self.labeller.data.paths, "pseudo"))
        lines = [
            f"fold {number}: {fold.taken} of {len(self.images)} strips accepted, labelled by {', '.join(fold.members)}"
            for number, fold in enumerate(record.folds)
        ]
        lines.append(_row("over all folds", (f"class {defect}" for defect in CLASSES)))
        lines += [_row(outcome, map(str, counts)) for outcome, counts in record.counts.items()]
        quality = record.quality
        lines.append(
            f"training strips, labelled by networks that did not train on them: {quality.taken} of {quality.strips} "
            "would be accepted"
        )
        lines.append(_row("Dice of all of them", (f"{score:.4f}" for score in quality.dice)))
        if quality.dice_of_taken:
            lines.append(_row("Dice of those accepted", (f"{score:.4f}" for score in quality.dice_of_taken)))
        if any(len(fold.members) == 1 for fold in record.folds):
            lines.append("a fold has a single network: agreement of members could not be checked")
        return lines


def count_outcomes(table: pd.DataFrame) -> dict[str, list[int]]:
    """How often each outcome occurs, per class and over all folds."""
    return {
        outcome: [int((table[f"class_{defect}"] == outcome).sum()) for defect in CLASSES]
        for outcome in (*map(str, Outcome), NEAR_DUPLICATE)
    }


def _row(label: str, cells: Iterable[str]) -> str:
    return f"{label:<36}" + "".join(f"{cell:>9}" for cell in cells)
