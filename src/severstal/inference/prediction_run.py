"""One run of prediction: a folder of strips becomes a checked submission, with a record of how it was made."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from severstal.artifacts import Artifact, file_hash, fingerprint, listing_hash, read_json, replacing
from severstal.data import strips
from severstal.data.labels import CLASSES
from severstal.experiment import Member
from severstal.inference import submission
from severstal.inference.budgeted_ensemble import BudgetedEnsemble
from severstal.inference.corrupt_strips import StripReader
from severstal.inference.ensemble import Ensemble, load_ensemble
from severstal.inference.members import identity, ready_members
from severstal.inference.prediction import batch_size, in_batches, predict_codes
from severstal.inference.scoring import score_against_truth
from severstal.inference.time_budget import TimeBudget
from severstal.paths import Paths
from severstal.postprocess import tuned_values
from severstal.postprocess.tuned_values import TunedValues

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PredictionRun:
    """What is predicted, and with which networks.

    Attributes:
        folder: of the strips.
        form: the strips to predict, and the columns of the submission.
        members: every network of the tuned ensemble.
        engine: name of the engine that runs them.
    """

    paths: Paths
    folder: Path
    form: submission.Form
    tuned: TunedValues
    members: list[Member]
    engine: str

    @classmethod
    def of(cls, paths: Paths, images: Path | None, engine: str) -> PredictionRun:
        """Find the strips and the networks.

        Args:
            images: a folder of strips; None for the test strips, in the form of the sample submission.
            engine: name of an installed engine.

        Raises:
            InputError: if a strip, a network or the tuned values are missing, or do not belong together.
        """
        folder = images.resolve() if images else paths.test_images
        names = strips.listing(folder)
        form = submission.Form(names, submission.DEFAULT_COLUMNS, paths) if images else submission.form_of(paths, names)
        tuned = tuned_values.read(paths)
        return cls(paths, folder, form, tuned, ready_members(paths, tuned, engine), engine)

    def artifact(self) -> Artifact:
        """The submission on disk, and all that decides its content."""
        inputs = {
            "strips": listing_hash(self.folder, self.form.images),
            "order of the strips": fingerprint(self.form.images),
            "columns": self.form.columns,
        } | identity(self.members, self.tuned, self.engine)
        return Artifact(self.paths.submission_report, inputs, files=(self.paths.submission,))

    def record(self) -> dict[str, Any]:
        """The record of the submission on disk."""
        return read_json(self.paths.submission_report, self.form.remake)

    def predict(self, budget: TimeBudget | None = None, *, skip_corrupt: bool = False, skip_late: bool = False) -> None:
        """Predict the strips; write the submission, checked, and its record.

        Args:
            budget: leave out members that would not finish in time.
            skip_corrupt: predict corrupt strips empty and list them in the record, instead of stopping.
            skip_late: predict strips empty once the budget is spent, instead of exceeding it.

        Raises:
            InputError: if a strip is corrupt, or no member finishes in time.
        """
        artifact = self.artifact()
        config = self.members[0].config()
        height, width = config.height, config.width
        reader = StripReader(lambda image: strips.read(self.folder / image, (height, width)), skip_corrupt)
        ensemble = load_ensemble(self.members, self.tuned.ensemble_weights, self.engine, budget)
        num_strips = len(self.form.images)
        budgeted = BudgetedEnsemble(ensemble, budget, num_strips, skip_late=skip_late) if budget else None
        started = time.monotonic()
        batches = in_batches(self.form.images, batch_size(height, width))
        predicted = predict_codes(batches, reader, budgeted or ensemble, self.tuned.rules)
        codes = dict(tqdm(predicted, "predict", total=num_strips, unit="strip", leave=False, disable=None))
        rate = len(codes) / (time.monotonic() - started)
        logger.info("%.2f strips per second with %d networks", rate, len(ensemble.active))
        with replacing(self.paths.submission) as temporary:
            submission.write(temporary, self.form, codes)
            counts = submission.check(temporary, self.form, height, width)
        late = budgeted.num_late if budgeted else 0
        facts = self._choices(ensemble) | {
            "strips_per_second": round(rate, 3),
            "counts": counts.lines(),
            "warnings": counts.warnings(self._occurring(), self.paths),
            "corrupt": reader.corrupt,
            "late": late,
            "score": self._score(codes, height, width),
        }
        # Without a corrupt strip, or with more time, the same command would give a better submission.
        predicted_all = [member for member in ensemble.members if member.num_strips == ensemble.num_strips]
        complete = not reader.corrupt and not late and len(predicted_all) == len(self.members)
        artifact.write_record(facts, complete=complete)

    def _choices(self, ensemble: Ensemble) -> dict[str, Any]:
        """The part of the record that says which networks and values the submission was predicted with."""
        return {
            "submission": file_hash(self.paths.submission),
            "engine": self.engine,
            "members": {
                member.name: self.tuned.members[member.name] for member in ensemble.members if member.num_strips
            },
            "strips_of_members": {member.name: member.num_strips for member in ensemble.members},
            "ensemble_weights": self.tuned.ensemble_weights,
            "rules": [rule.model_dump(exclude_none=True) for rule in self.tuned.rules],
            "expected": self.tuned.scores,
        }

    def _occurring(self) -> list[int]:
        """The classes that training strips show: without them an empty submission is right about a class."""
        empty = self.tuned.scores["all_empty"]
        return [defect for defect in CLASSES if empty[str(defect)] < 1]

    def _score(self, codes: dict[str, list[str]], height: int, width: int) -> dict[str, float] | None:
        """The score of the test strips, where their truth lies beside them, as that of the synthetic set does."""
        if self.folder != self.paths.test_images or not self.paths.test_truth.exists():
            return None
        return score_against_truth(codes, self.paths.test_truth, height, width)

    def summary(self) -> list[str]:
        """Lines on the submission on disk: defects found, corrupt strips, expected and real score."""
        record, scores = self.record(), self.tuned.scores
        lines = [*record["counts"], *(f"warning: {text}" for text in record.get("warnings", ()))]
        lines += [f"corrupt, predicted empty: {image}: {reason}" for image, reason in record["corrupt"].items()]
        if record.get("late"):  # earlier records have no such entry
            lines.append(f"predicted empty, because the time was over: {record['late']} strips")
        low, high = self.tuned.intervals["nested"]["mean"]
        lines.append(
            f"expected score {scores['nested']['mean']:.5f}, {low:.3f} to {high:.3f} (nested cross-validation; an "
            f"empty submission {scores['all_empty']['mean']:.5f})"
        )
        if record["score"]:
            lines.append(
                f"score on the test strips' truth {record['score']['mean']:.5f} (an empty submission "
                f"{record['score']['all_empty']:.5f})"
            )
        return lines
