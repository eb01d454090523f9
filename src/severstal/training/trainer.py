"""Training of one encoder on one fold; it can be resumed after any complete epoch.

Writes into the fold's folder: ``log.jsonl`` and ``tensorboard/`` as it goes, ``checkpoint.pt`` after every epoch, and
at the end ``weights.safetensors``: the averaged weights of the best epoch or, if that scores better, the mean of those
of the best epochs.

The randomness of an epoch is seeded by its number and every crop by its position. A training that was interrupted
therefore ends with the weights of one that was not, bit for bit on a CPU.
"""

from __future__ import annotations

import logging
import time

import torch
from tqdm import tqdm

from severstal.artifacts import write_json
from severstal.data.training_set import TrainingSet
from severstal.errors import InputError
from severstal.experiment import FoldConfig, Member
from severstal.models import weights
from severstal.models.inference_graph import InferenceGraph
from severstal.models.state_files import State
from severstal.training import checkpoint
from severstal.training.averaging import TopEpochs
from severstal.training.checkpoint import Checkpoint, CheckpointWriter
from severstal.training.distributed import Distributed
from severstal.training.epoch_log import EpochLog, EpochRecord
from severstal.training.learner import Learner
from severstal.training.learning_rate import WarmupCosine
from severstal.training.load_timer import LoadTimer
from severstal.training.loaders import build_loaders
from severstal.training.validation import FoldScores, score_fold

logger = logging.getLogger(__name__)

EPOCH_SEED_STEP = 100_003  # more than any number of epochs: no two (seed, epoch) share a seed


class Trainer:
    """One (encoder, fold), from its first or its last finished epoch to its weights."""

    def __init__(
        self, member: Member, config: FoldConfig, data: TrainingSet, distributed: Distributed, *, num_jobs: int = 1
    ) -> None:
        """Build the network and the loaders, and restore the checkpoint if there is one.

        Args:
            num_jobs: networks that are trained side by side on this machine.

        Raises:
            InputError: if the checkpoint is damaged or of another configuration, or the data cannot be trained on.
        """
        self._member, self._config, self._recipe = member, config, config.recipe
        self._distributed, self._show_progress = distributed, num_jobs == 1 and distributed.is_main
        torch.manual_seed(self._recipe.seed)
        choose_algorithms(distributed.device)
        resumes = member.files.checkpoint.exists()
        self._learner = Learner(config, distributed, resumes=resumes)
        if self._learner.initial_weights and distributed.is_main:
            record = self._learner.initial_weights.model_dump(mode="json")
            write_json(member.files.config, config.model_dump() | {"initial_weights": record})
        self._loaders = build_loaders(member, data, self._recipe, distributed, num_jobs)
        self._steps_per_epoch = len(self._loaders.training) // self._recipe.grad_accum_steps
        total_steps = self._steps_per_epoch * self._recipe.epochs
        self._learning_rate = WarmupCosine(self._recipe.learning_rate, self._recipe.warmup, total_steps)
        self._log = EpochLog(member, self._recipe.epochs, self._loaders.training.num_workers)
        self._top_epochs = TopEpochs(self._recipe.average_top_k)
        self._checkpoints = CheckpointWriter(member.files.checkpoint)
        if resumes:
            self._restore()

    def run(self) -> None:
        """Train the epochs that are left, then write the weights."""
        self._say(f"AMP {self._learner.amp.describe()} on {self._distributed.device}")
        with self._checkpoints:
            for epoch in range(len(self._log.records) + 1, self._recipe.epochs + 1):
                record = self._run_epoch(epoch)
                self._log.records.append(record)
                self._top_epochs.add(record["dice"], epoch, self._learner.copy_ema_state)
                if self._distributed.is_main:
                    self._log.publish(self._top_epochs.best)  # first: a resumed run logs only what it trains
                    self._save()
        epochs, state = self._choose_weights()
        if self._distributed.is_main:
            metadata = {"fingerprint": self._config.fingerprint, "epoch": epochs}
            weights.save(self._member.files.weights, state, metadata)
        self._distributed.barrier()

    def _run_epoch(self, epoch: int) -> EpochRecord:
        started = time.monotonic()
        torch.manual_seed(self._recipe.seed * EPOCH_SEED_STEP + epoch)
        self._loaders.sampler.epoch = epoch
        load_timer = LoadTimer()
        loss = self._train(epoch, load_timer)
        self._learner.check_finite(self._member, epoch, loss)
        trained = time.monotonic()
        scores = self._validate()
        return EpochRecord(
            epoch=epoch,
            loss=loss,
            dice=float(scores.tuned.mean()),
            dice_per_class=scores.tuned.tolist(),
            dice_untuned=float(scores.default.mean()),
            learning_rate=self._learning_rate(epoch * self._steps_per_epoch),
            loss_scale=self._learner.amp.loss_scale,
            skipped_steps=self._learner.amp.take_skipped_steps(),
            train_seconds=round(trained - started, 2),
            loading_share=round(load_timer.seconds / (trained - started), 4),
            validation_seconds=round(time.monotonic() - trained, 2),
        )

    def _train(self, epoch: int, load_timer: LoadTimer) -> float:
        """Train on the epoch's crops; returns the mean loss."""
        self._learner.train()
        loader, grad_accum_steps = self._loaders.training, self._recipe.grad_accum_steps
        total_loss = torch.zeros((), device=self._distributed.device)
        batches = tqdm(loader, f"epoch {epoch}", leave=False, disable=None if self._show_progress else True)
        for count, (crops, bit_maps) in enumerate(load_timer(batches), start=1):
            completes_step = count % grad_accum_steps == 0
            total_loss += self._learner.backward(crops, bit_maps, epoch, completes_step=completes_step)
            if completes_step:
                step = (epoch - 1) * self._steps_per_epoch + count // grad_accum_steps - 1
                self._learner.step(step, self._learning_rate(step))
        return float(self._distributed.sum(total_loss / len(loader)) / self._distributed.world_size)

    def _validate(self) -> FoldScores:
        """Score the averaged weights on the held-out strips, without test-time flips."""
        graph = InferenceGraph.of(self._config, self._learner.ema_network, tta=())
        with self._learner.amp.autocast():
            return score_fold(graph, self._loaders.validation, self._distributed)

    def _choose_weights(self) -> tuple[str, State]:
        """Epochs and weights to keep: the best epoch's, or the mean of the best epochs' if that scores better."""
        best, label = self._top_epochs.best, self._top_epochs.label
        if len(self._top_epochs.entries) > 1:
            average = self._top_epochs.average()
            self._learner.ema_network.load_state_dict(average)
            dice = float(self._validate().tuned.mean())
            verdict = "kept" if dice > best["dice"] else "not kept"
            self._say(f"mean of epochs {label}: Dice {dice:.4f}, the best alone {best['dice']:.4f}: {verdict}")
            if dice > best["dice"]:
                return label, average
        return str(best["epoch"]), best["state"]

    def _save(self) -> None:
        state = Checkpoint(
            fingerprint=self._config.fingerprint,
            learner=self._learner.state_dict(),
            top_epochs=self._top_epochs.entries,
            records=self._log.records,
            num_threads=torch.get_num_threads(),
        )
        self._checkpoints.save(state)

    def _restore(self) -> None:
        files, remake = self._member.files, self._member.remake
        state = checkpoint.load(files.checkpoint, files.folder, remake)
        if state["fingerprint"] != self._config.fingerprint:
            raise InputError(
                f"{files.checkpoint} belongs to another configuration: delete {files.folder} and run `{remake}`"
            )
        self._learner.load_state_dict(state["learner"])
        self._top_epochs.entries, self._log.records = state["top_epochs"], state["records"]
        torch.set_num_threads(state["num_threads"])
        self._say(f"resuming after epoch {len(self._log.records)}")

    def _say(self, text: str) -> None:
        if self._distributed.is_main:
            logger.info("%s: %s", self._member.name, text)


def choose_algorithms(device: torch.device) -> None:
    """Equal sums on a CPU, where training repeats bit for bit; on a GPU the convolutions that cuDNN finds fastest."""
    torch.use_deterministic_algorithms(device.type == "cpu", warn_only=True)
    torch.backends.cudnn.benchmark = device.type == "cuda"
