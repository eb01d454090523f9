"""A training that is no longer finite ends with an error and keeps its last good checkpoint."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.training import ENCODER, SHARED_VALUES, interrupt, job

from severstal.errors import InputError
from severstal.models.weights import nonfinite_names
from severstal.training import checkpoint
from severstal.training.divergence import check_finite, warn_if_constant
from severstal.training.learner import Learner


def test_a_loss_of_nan_ends_with_an_error_and_no_network(tiny) -> None:
    diverging = job(tiny, SHARED_VALUES | {"learning_rate": 1e30, "warmup": 0.0})
    with pytest.raises(InputError, match=r"diverged in epoch 1 with --amp off.*No epoch was saved.*`--learning-rate`"):
        diverging.run()
    assert not diverging.member.files.weights.exists()
    assert not diverging.member.files.checkpoint.exists()


def test_an_infinite_batch_statistic_keeps_the_checkpoint_of_the_epoch_before(tiny, monkeypatch) -> None:
    """A forward overflow of float16 leaves it while loss and weights stay finite."""
    training = job(tiny, SHARED_VALUES)
    interrupt(training, epoch=2)
    step = Learner.step

    def overflow(learner: Learner, number: int, learning_rate: float) -> None:
        step(learner, number, learning_rate)
        statistics = [value for name, value in learner.ema_network.named_buffers() if name.endswith("running_var")]
        statistics[-1].fill_(torch.inf)

    monkeypatch.setattr(Learner, "step", overflow)
    with pytest.raises(InputError, match=r"the averaged network has NaN or infinity in .*running_var.*holds epoch 1"):
        training.run()
    files = tiny.fold(ENCODER, 0)
    kept = checkpoint.load(files.checkpoint, files.folder, "")
    assert not nonfinite_names(kept["learner"]["ema"])
    assert len(kept["records"]) == 1


@pytest.mark.parametrize(("mode", "cure"), [("fp16", "`--amp bf16` or `--amp off`"), ("bf16", "`--amp off`")])
def test_the_error_names_a_precision_that_does_not_overflow(tiny, mode: str, cure: str) -> None:
    with pytest.raises(InputError) as caught:
        check_finite(job(tiny).member, 1, mode, float("nan"), {})
    assert f"`{job(tiny).member.remake}` with {cure}" in str(caught.value)


def test_every_float_tensor_is_looked_at_and_counters_are_not() -> None:
    state = {"good": torch.ones(3), "counter": torch.tensor(7), "infinite": torch.tensor([1.0, -torch.inf])}
    assert nonfinite_names(state) == ["infinite"]


@pytest.mark.parametrize(("change", "warned"), [(0, True), (1, False)], ids=["constant", "one pixel differs"])
def test_a_network_that_predicts_one_constant_is_named_with_a_cure(tiny, caplog, change, warned) -> None:
    maps = np.full((2, 4, 8, 8), 127, np.uint8)
    maps[1, 3, 7, 7] += change
    predictions = [(f"{number}.jpg", probability, probability[:, 0, 0]) for number, probability in enumerate(maps)]
    assert list(warn_if_constant(job(tiny).member, iter(predictions))) == predictions
    assert (f"{ENCODER} fold 0 predicts the same probability, 0.50" in caplog.text) == warned
    assert ("--learning-rate" in caplog.text) == warned
