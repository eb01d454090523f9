"""One short training on a few labelled strips: its values, and its row of the table."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.few_labels.labelled_strips import HELD_OUT, LabelledStrips, write_training_set
from severstal.console import set_up_logging
from severstal.data import strips
from severstal.data.labels import CLASSES, Labels, masks, read_labels
from severstal.data.memory_map import TrainingStrips
from severstal.data.out_of_fold import FoldMaps
from severstal.data.training_set import TrainingSet, read_training_set
from severstal.experiment import Member
from severstal.models.inference_graph import load_inference_graph
from severstal.paths import Paths
from severstal.postprocess.level_counts import Workspace, count_levels
from severstal.postprocess.metric import dice
from severstal.postprocess.rules import MaskArea, Rule, plain_rule
from severstal.recipe import NO_FILE
from severstal.training.crops import StripDataset
from severstal.training.gpu_lock import claim_gpu
from severstal.training.job import Job
from severstal.training.validation import predict_out_of_fold

Maps = Iterator[tuple[str, np.ndarray, np.ndarray]]  # a strip, its map, its class probabilities


@dataclass(frozen=True)
class Trial:
    """The values of one training; where the table has a row of the same values, it is not trained again.

    Attributes:
        data: :attr:`LabelledStrips.key`.
        network: beginning of the hash of the pretrained weights; empty where the encoder's first weights are taken.
        labelled: number of labelled strips asked for; 0: the pretrained network as it is.
        synthetic: number of synthetic strips mixed into the training.
        steps: of training.
        seed: of the training and of the choice of strips.
        fold: that is scored; strips are chosen from the others.
    """

    data: str
    network: str
    labelled: int
    synthetic: int
    steps: int
    learning_rate: float
    seed: int
    fold: int


@dataclass(frozen=True)
class Runner:
    """What all trials share.

    Attributes:
        pretrained: fold 0 of the experiment whose recipe all trials take and whose weights the pretrained ones take.
        folder: for the files of trials that run; each trial deletes its own at its end.
        num_jobs: trials that run side by side.
        num_threads: of each trial; None for torch's own number.
    """

    source: LabelledStrips
    pretrained: Member
    folder: Path
    num_jobs: int
    num_threads: int | None

    def run(self, trial: Trial) -> dict[str, Any]:
        """Train and score, on a GPU that no other trial uses if there is one; returns the row of the table."""
        set_up_logging()  # a trial beside others runs in a process of its own
        claim_gpu()
        began, root = time.monotonic(), self.folder / "-".join(str(value) for value in asdict(trial).values())
        shutil.rmtree(root, ignore_errors=True)  # of a trial that was stopped
        paths, held_out = Paths.under(root), self.source.held_out(trial.fold)
        chosen = self.source.choose(trial.labelled, trial.fold, trial.seed)
        write_training_set(paths, self.source, held_out, chosen, *self._synthetic(trial))
        data = read_training_set(paths)
        maps = self._train(trial, data) if trial.labelled else self._predict(data)
        has_classifier = self.pretrained.config().recipe.classifier_loss_weight > 0
        scores = score(maps, data, plain_rule(has_classifier))
        shutil.rmtree(root)
        counts = {"trained_on": len(chosen), "held_out": len(held_out)}
        return asdict(trial) | counts | scores | {"seconds": round(time.monotonic() - began)}

    def _synthetic(self, trial: Trial) -> tuple[list[Path], Labels]:
        """Strips that the pretrained network learned from, drawn at random, and the labels of all of them."""
        if not trial.synthetic:
            return [], {}
        config = self.pretrained.config()
        folder = Path(config.train_images)
        images = strips.listing(folder)
        labels = read_labels(Paths(input=folder.parent).train_csv, config.height, config.width, images)
        order = np.random.default_rng(trial.seed).permutation(len(images))
        return [folder / images[place] for place in order[: trial.synthetic]], labels

    def _train(self, trial: Trial, data: TrainingSet) -> Maps:
        base = self.pretrained.config().recipe
        given = {
            "epochs": 1,
            "samples_per_epoch": trial.steps * base.batch_size * base.grad_accum_steps,
            "learning_rate": trial.learning_rate,
            "seed": trial.seed,
            "from_folds": str(self.pretrained.paths.folds) if trial.network else NO_FILE,
        }
        member = Member(data.paths, self.pretrained.encoder, HELD_OUT)
        Job.of(member, data, base, given).run(num_jobs=self.num_jobs, num_threads=self.num_threads)
        found = FoldMaps(member.files.oof, member.remake)
        return ((image, found[image], found.class_probability(image)) for image in found.images)

    def _predict(self, data: TrainingSet) -> Maps:
        """Maps of the pretrained network as it is, computed on the CPU, where the few strips take seconds."""
        validation = StripDataset(TrainingStrips(data), data.images(HELD_OUT, held_out=True))
        device, values = torch.device("cpu"), self.pretrained.config().recipe
        graph = load_inference_graph(self.pretrained, device)
        return predict_out_of_fold(
            graph, validation, values.eval_batch_size, device, num_workers=values.num_workers, num_jobs=self.num_jobs
        )


def score(maps: Maps, data: TrainingSet, plain: Rule) -> dict[str, float]:
    """Mean Dice of strips at the best values of each class, at plain values, and of an empty file.

    The best values are chosen on the strips that they are scored on, so ``best`` is too good where strips are few.
    """
    grids: list[np.ndarray] = []
    dice_plain: list[np.ndarray] = []
    empty: list[np.ndarray] = []
    workspace = Workspace(data.height, data.width)
    for image, probability, class_probabilities in maps:
        truth = masks(data.labels[image], data.height, data.width)
        grid = np.stack([MaskArea.empty_grid() for _ in CLASSES])
        for of_class, found, mask in zip(grid, probability, truth, strict=True):
            MaskArea.add_to_grid(count_levels(workspace, found, mask if mask.any() else None), of_class)
        grids.append(grid)
        pairs = zip(probability, map(int, class_probabilities), strict=True)
        dice_plain.append(dice(np.stack([plain.apply(found, likely) for found, likely in pairs]), truth))
        empty.append(np.array([not mask.any() for mask in truth]))
    best, per_class = np.mean(grids, axis=0).max(axis=(1, 2)), np.mean(dice_plain, axis=0)
    classes = {f"class_{defect}": per_class[defect - 1] for defect in CLASSES}
    row = {"best": best.mean(), "plain": per_class.mean(), "empty": np.mean(empty)} | classes
    return {name: round(float(value), 4) for name, value in row.items()}
