"""Files of weights: damaged ones, and those of another network, are errors that name the file and the command."""

from __future__ import annotations

import pytest
import torch
from support.files import cut_in_half

from severstal.errors import InputError
from severstal.models import weights


def test_weights_that_were_cut_short_are_refused(tmp_path) -> None:
    file = tmp_path / "weights.safetensors"
    weights.save(file, {"layer": torch.zeros(100)}, {"fingerprint": "f"})
    assert weights.read_metadata(file, "train")["fingerprint"] == "f"
    cut_in_half(file)
    with pytest.raises(InputError, match=r"weights\.safetensors.*delete.*train"):
        weights.read_metadata(file, "train")


@pytest.mark.parametrize(
    "damaged", [b'{\\"fingerprint\\"] \\"f\\"}', b"[" + b" " * 20 + b"1]"], ids=["no JSON", "no object"]
)
def test_weights_with_damaged_metadata_are_refused(tmp_path, damaged) -> None:
    file = tmp_path / "weights.safetensors"
    weights.save(file, {"layer": torch.zeros(100)}, {"fingerprint": "f"})
    whole = b'{\\"fingerprint\\": \\"f\\"}'
    assert whole in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(whole, damaged.ljust(len(whole))))
    with pytest.raises(InputError, match=r"weights\.safetensors is damaged .* delete it and run `train`"):
        weights.read_metadata(file, "train")


def test_equal_weights_give_equal_files(tmp_path) -> None:
    metadata = {str(number): "value" for number in range(8)}
    files = [tmp_path / str(number) for number in range(3)]
    for file in files:
        weights.save(file, {"layer": torch.zeros(2)}, metadata)
    assert len({file.read_bytes() for file in files}) == 1
    assert weights.read_metadata(files[0], "train") == metadata


@pytest.mark.parametrize("number", [float("nan"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path, number) -> None:
    """An engine would turn them into a map without any defect."""
    file = tmp_path / "weights.safetensors"
    network = torch.nn.Linear(2, 1)
    weights.save(file, network.state_dict() | {"bias": torch.tensor([number])}, {})
    with pytest.raises(InputError, match=r"weights\.safetensors has NaN or infinity in bias: delete .* run `train`"):
        weights.load(file, network, "train")


def test_weights_of_another_network_are_refused(tmp_path) -> None:
    file = tmp_path / "weights.safetensors"
    weights.save(file, {"layer": torch.zeros(1)}, {})
    with pytest.raises(InputError, match="does not fit the network"):
        weights.load(file, torch.nn.Linear(1, 1), "bash bin/train.sh")
