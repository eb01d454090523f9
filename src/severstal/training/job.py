"""One (encoder, fold): what of it is finished, and doing what is left.

A fold is finished when its ``config.json`` asks for what is wanted now, its weights carry that configuration's
fingerprint, and its out-of-fold maps were made from those weights with the wanted flips.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from severstal.artifacts import fingerprint, replacing, write_json
from severstal.data import out_of_fold
from severstal.data.training_set import TrainingSet
from severstal.experiment import FoldConfig, Member, current_versions, training_fingerprint
from severstal.models import weights
from severstal.recipe import Recipe
from severstal.training.retraining import refuse_changes

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Job:
    """A network and what it is to be trained with.

    Attributes:
        given: the values of the command line, which ``recipe`` has already.
    """

    member: Member
    data: TrainingSet
    recipe: Recipe
    given: dict[str, Any]

    @classmethod
    def of(cls, member: Member, data: TrainingSet, recipe: Recipe, given: dict[str, Any]) -> Job:
        """The job as it is asked for: the recipe, the encoder's own values in it, and those of the command line."""
        values = recipe.for_encoder(member.encoder, given)
        return cls(member, data.with_pseudo_labels(values.pseudo_labels, member.fold), values, given)

    @property
    def fingerprint(self) -> str:
        return training_fingerprint(self.member.encoder, self.member.fold, self.recipe, self.data.fingerprint)

    def is_trained(self) -> bool:
        files = self.member.files
        if not files.weights.exists() or not files.config.exists():
            return False
        metadata = weights.read_metadata(files.weights, self.member.remake)
        return metadata.get("fingerprint") == self.fingerprint == self.member.config().fingerprint

    def is_predicted(self) -> bool:
        """Whether the out-of-fold maps are those of the weights."""
        if not self.member.files.oof.exists():
            return False
        return out_of_fold.read_meta(self.member.files.oof, self.member.remake) == self._oof_meta()

    def is_finished(self) -> bool:
        return self.is_trained() and self.is_predicted()

    def run(self, *, alone: bool = True) -> str:
        """Do what is left; returns the key number as a line. Not ``alone``, it draws no progress bars."""
        from severstal.training.distributed import init_distributed
        from severstal.training.trainer import Trainer

        # torch and its friends are imported here, so that finding a fold finished costs no seconds.
        distributed = init_distributed()
        try:
            if not self.is_trained():
                if distributed.is_main:
                    refuse_changes([self])
                    if not self._is_begun():  # a training that resumes keeps what is known of its first weights
                        write_json(self.member.files.config, self._config().model_dump())
                distributed.barrier()
                Trainer(self.member, self.member.config(), self.data, distributed, show_progress=alone).run()
            if distributed.is_main:
                self._predict(distributed.device, bars=alone)
        finally:
            distributed.close()
        return self._summary()

    def _is_begun(self) -> bool:
        return self.member.files.config.exists() and self.member.config().fingerprint == self.fingerprint

    def _config(self) -> FoldConfig:
        data, member = self.data, self.member
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
        )

    def _predict(self, device: torch.device, *, bars: bool) -> None:
        """Write the out-of-fold maps of the weights on disk."""
        from severstal.data.memory_map import TrainingStrips
        from severstal.models.inference_graph import load_inference_graph
        from severstal.training.crops import StripDataset
        from severstal.training.validation import predict_out_of_fold

        member = self.member
        config = member.config().model_copy(update={"recipe": self.recipe})
        write_json(member.files.config, config.model_dump())  # flips may have changed since training
        model = load_inference_graph(member, device)
        validation = StripDataset(TrainingStrips(self.data), self.data.images(member.fold, held_out=True))
        answers = predict_out_of_fold(model, validation, self.recipe.eval_batch_size, device, show_progress=bars)
        with replacing(member.files.oof) as temporary:
            out_of_fold.write(temporary, answers, self._oof_meta())
        member.files.checkpoint.unlink(missing_ok=True)

    def _oof_meta(self) -> dict[str, Any]:
        return {
            "form": out_of_fold.FORMAT,
            "weights": self.member.weights_hash(),
            "tta": list(self.recipe.tta),
            "of": fingerprint(self.data.images(self.member.fold, held_out=True)),
        }

    def _summary(self) -> str:
        lines = [json.loads(line) for line in self.member.files.log.read_text(encoding="utf-8").splitlines()]
        best = max(lines, key=lambda line: line["dice"])
        return f"{self.member.name}: Dice {best['dice']:.4f}, epoch {best['epoch']} of {len(lines)}"
