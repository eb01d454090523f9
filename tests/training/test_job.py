"""What of a network is finished, by the record in each of its files."""

from __future__ import annotations

import pytest
import torch
from support.commands import run_stage_in_process
from support.training import ENCODER, is_finished, job
from support.untrained_folds import write_untrained_folds

from severstal.artifacts import write_json
from severstal.errors import InputError
from severstal.models import weights


def test_finished_networks_are_not_trained_again(tiny) -> None:
    write_untrained_folds(tiny)
    done = run_stage_in_process("train", tiny)
    assert done.stdout.count("cached") == 2
    assert "wrote" not in done.stdout


def test_other_flips_need_other_maps_and_no_training(tiny) -> None:
    write_untrained_folds(tiny)
    assert is_finished(job(tiny))
    wanted = job(tiny, {"tta": []})
    assert wanted.is_trained()
    assert wanted.map_differences() == ["tta changed"]


def test_maps_of_other_weights_are_predicted_again(tiny) -> None:
    done = write_untrained_folds(tiny)
    weights.save(done.member.files.weights, {"layer": torch.ones(1)}, {"fingerprint": done.fingerprint})
    assert job(tiny).map_differences() == ["weights changed"]
    done.member.files.oof.unlink()
    assert job(tiny).map_differences() == ["oof.npz is missing"]


def test_weights_beside_the_configuration_of_others_are_refused(tiny) -> None:
    done = write_untrained_folds(tiny)
    weights.save(done.member.files.weights, {"layer": torch.ones(1)}, {"fingerprint": "another"})
    with pytest.raises(InputError, match=rf"not trained with the config\.json beside it: delete .*{ENCODER} 0 "):
        job(tiny).is_trained()


def test_a_default_of_the_code_that_changed_since_leaves_a_network_finished(tiny) -> None:
    done = write_untrained_folds(tiny)
    files, of_then = done.member.files, "fingerprint of then"
    write_json(files.config, done.new_config().model_dump() | {"training": of_then})
    weights.save(files.weights, {"layer": torch.zeros(1)}, {"fingerprint": of_then})
    assert job(tiny).is_trained()
    files.weights.rename(files.checkpoint)
    assert job(tiny).new_config().fingerprint == of_then
    files.checkpoint.unlink()
    assert job(tiny).new_config().fingerprint == job(tiny).fingerprint


def test_a_network_of_another_fold_is_not_this_one(tiny) -> None:
    done, other = write_untrained_folds(tiny), job(tiny, fold=1).member.files
    for name in ("config", "weights"):
        getattr(done.member.files, name).write_bytes(getattr(other, name).read_bytes())
    assert not job(tiny).is_trained()


def test_a_deleted_folder_is_all_that_is_redone(tiny) -> None:
    done = write_untrained_folds(tiny)
    done.member.files.weights.unlink()
    assert not job(tiny).is_trained()
    assert is_finished(job(tiny, fold=1))


def test_a_training_that_resumes_takes_new_values_of_speed_and_keeps_its_first_weights_on_record(tiny) -> None:
    files, first = job(tiny).member.files, {"source": "lite0.safetensors", "loaded": 288}
    write_json(files.config, job(tiny).new_config().model_dump() | {"initial_weights": first})
    files.checkpoint.touch()
    resumed = job(tiny, {"num_workers": 3}).new_config()
    assert (resumed.initial_weights, resumed.recipe.num_workers) == (first, 3)
    files.checkpoint.unlink()
    assert job(tiny).new_config().initial_weights is None
