"""The training of one encoder on one fold: what of it is finished, and running the rest.

A network is trained when ``config.json`` asks for what is wanted now and the weights carry its fingerprint; it is
finished when the out-of-fold maps come from these weights with the wanted flips. Weights and maps carry their record
inside their own file, so that neither can be mistaken for another network's.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from severstal.artifacts import changes, file_hash, fingerprint, replacing, write_json
from severstal.data import out_of_fold
from severstal.data.training_set import TrainingSet
from severstal.errors import InputError
from severstal.experiment import FoldConfig, Member, current_versions, training_fingerprint
from severstal.models import weights
from severstal.recipe import NO_FILE, Recipe
from severstal.run_lock import run_lock
from severstal.training import pretrained
from severstal.training.changed_values import difference, refuse_changes

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Job:
    """A network and what it is to be trained with.

    Attributes:
        given: the values of the command line, which ``recipe`` has already.
        start: the trained network that it starts from; None where the recipe has no ``from_folds``.
    """

    member: Member
    data: TrainingSet
    recipe: Recipe
    given: dict[str, Any]
    start: pretrained.PretrainedNetwork | None = None

    @classmethod
    def of(cls, member: Member, data: TrainingSet, recipe: Recipe, given: dict[str, Any]) -> Job:
        """The job as it is asked for: the recipe, the encoder's own values in it, and those of the command line.

        Raises:
            InputError: if pseudo-labels or the networks of ``from_folds`` are missing, or learned from strips that this
                fold validates on.
        """
        values = recipe.for_encoder(member.encoder, given)
        data = data.with_pseudo_labels(values.pseudo_labels, member.fold)
        if values.from_folds == NO_FILE:
            return cls(member, data, values, given)
        held_out = data.images(member.fold, held_out=True)
        start = pretrained.find(Path(values.from_folds), member.encoder, member.fold, held_out)
        data = replace(data, fingerprint=fingerprint(data.fingerprint, start.weights_hash))
        return cls(member, data, values, given, start)

    @property
    def fingerprint(self) -> str:
        return training_fingerprint(self.member.encoder, self.member.fold, self.recipe, self.data.fingerprint)

    def is_trained(self) -> bool:
        """Whether the weights are there, trained with the wanted values on the data of now.

        Raises:
            InputError: if the weights were trained with another configuration than the one beside them.
        """
        files = self.member.files
        if not files.weights.exists() or not files.config.exists():
            return False
        config = self.member.config()
        if weights.read_metadata(files.weights, self.member.remake).get("fingerprint") != config.fingerprint:
            raise InputError(
                f"{files.weights} was not trained with the {files.config.name} beside it: delete {files.folder} and "
                f"run `{self.member.remake}`"
            )
        is_own = (config.encoder, config.fold) == (self.member.encoder, self.member.fold)
        return is_own and difference(self) is None

    def map_differences(self) -> list[str]:
        """Why the out-of-fold maps have to be predicted, such as ``weights changed``; empty where they are cached."""
        file = self.member.files.oof
        if not file.exists():
            return [f"{file.name} is missing"]
        return changes(out_of_fold.read_meta(file, self.member.remake), self._oof_meta())

    def run(self, *, num_jobs: int = 1, num_threads: int | None = None) -> str:
        """Train and predict what is not finished.

        Args:
            num_jobs: networks that are trained side by side on this machine: they share its cores, and where there is
                more than one, no progress bars are drawn.
            num_threads: that torch computes with on a CPU; None for its own number.

        Returns:
            The network's name and its best Dice, as a line.

        Raises:
            InputError: if the fold holds a network that was trained with other values or on other data.
        """
        from severstal.training.distributed import init_distributed
        from severstal.training.threads import torch_threads
        from severstal.training.trainer import Trainer

        # torch and its friends are imported here, so that finding a fold finished costs no seconds.
        distributed = init_distributed()
        with ExitStack() as held:
            held.callback(distributed.close)
            held.enter_context(torch_threads(num_threads))
            if distributed.is_main:
                held.enter_context(run_lock(self.member.files.folder))
            if not self.is_trained():
                if distributed.is_main:
                    refuse_changes([self])
                    write_json(self.member.files.config, self.new_config().model_dump())
                distributed.barrier()
                Trainer(self.member, self.member.config(), self.data, distributed, num_jobs=num_jobs).run()
            distributed.close()  # while all processes are here: the others end before the maps are predicted
            if distributed.is_main:
                self._predict(distributed.device, num_jobs)
        return self._summary()

    def new_config(self) -> FoldConfig:
        """The configuration to train with; a training that resumes keeps what is known of its first weights.

        A network that starts from a trained one keeps that one's scale of grey levels.

        Raises:
            InputError: if the network of ``from_folds`` learned from a near-duplicate of a validation strip.
        """
        data, member = self.data, self.member
        resumes = member.files.checkpoint.exists() and member.files.config.exists()
        if self.start:
            earlier = self.start.member.config()
            mean, std = earlier.mean, earlier.std
        else:
            mean, std = data.measure_grey(data.images(member.fold, held_out=False))
        return FoldConfig(
            encoder=member.encoder,
            fold=member.fold,
            recipe=self.recipe,
            data=data.fingerprint,
            synthetic=data.paths.is_synthetic,
            height=data.height,
            width=data.width,
            mean=mean,
            std=std,
            versions=current_versions(),
            initial_weights=member.config().initial_weights if resumes else None,
            train_images=str(data.paths.train_images),
            split=file_hash(data.paths.folds_csv),
            pseudo_labels=data.pseudo.table if data.pseudo else "",
            pretrained=self.start.record(data, member.fold) if self.start else None,
            training=member.config().fingerprint if resumes else self.fingerprint,
        )

    def _predict(self, device: torch.device, num_jobs: int) -> None:
        """Write the out-of-fold maps of the weights on disk."""
        from severstal.data.memory_map import TrainingStrips
        from severstal.models.inference_graph import load_inference_graph
        from severstal.training.crops import StripDataset
        from severstal.training.divergence import warn_if_constant
        from severstal.training.validation import predict_out_of_fold

        member = self.member
        # The weights are all that is needed from here on. It lies there too where a run was stopped after them.
        member.files.checkpoint.unlink(missing_ok=True)
        config = member.config().model_copy(update={"recipe": self.recipe})
        write_json(member.files.config, config.model_dump())  # flips may have changed since training
        model = load_inference_graph(member, device)
        validation = StripDataset(TrainingStrips(self.data), self.data.images(member.fold, held_out=True))
        values = self.recipe
        answers = predict_out_of_fold(
            model, validation, values.eval_batch_size, device, num_workers=values.num_workers, num_jobs=num_jobs
        )
        with replacing(member.files.oof) as temporary:
            out_of_fold.write(temporary, warn_if_constant(member, answers), self._oof_meta())

    def _oof_meta(self) -> dict[str, Any]:
        return {
            "format": out_of_fold.FORMAT,
            "weights": self.member.weights_hash(),
            "tta": list(self.recipe.tta),
            "held_out": fingerprint(self.data.images(self.member.fold, held_out=True)),
        }

    def _summary(self) -> str:
        lines = [json.loads(line) for line in self.member.files.log.read_text(encoding="utf-8").splitlines()]
        best = max(lines, key=lambda line: line["dice"])
        return f"{self.member.name}: Dice {best['dice']:.4f}, epoch {best['epoch']} of {len(lines)}"
