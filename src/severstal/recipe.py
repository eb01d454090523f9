"""The configuration of a whole run: one typed model, whose values come from a recipe file and the command line.

``make_folds`` writes the recipe in use to ``folds/recipe.json``, with the source of each value; every later stage reads
it there. ``train`` saves what a network was trained with in the network's own folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from severstal import recipe_files
from severstal.artifacts import read_json, validation_problems, write_json
from severstal.commands import command
from severstal.errors import InputError, did_you_mean
from severstal.paths import Paths
from severstal.recipe_files import IMAGENET, NO_FILE, PATH_FIELDS
from severstal.recipe_values import Source, SourcedValues

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]

NO_PSEUDO_LABELS = NO_FILE
RANDOM_WEIGHTS = NO_FILE  # of encoder_weights; what is neither this nor IMAGENET is a file
MAX_DEPTH = 5  # blocks of an encoder, and so of a decoder
# The same for all networks: no table of an encoder sets them.
EXPERIMENT = ("name", "num_folds", "seed", "encoders", "synthetic_variety", "synthetic_strips", "postprocess")
LABELS = "sources"  # the key of recipe.json that says where its values come from


class Recipe(BaseModel):
    """Values of a whole run. Sizes are in pixels of the strip as it is stored; shares lie between 0 and 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="the recipe that these values started from")
    # data
    synthetic_variety: Literal["plain", "wide"] = Field("plain", description="steel drawn into an empty input folder")
    synthetic_strips: Positive = Field(720, description="its number of training strips")
    # split
    num_folds: Annotated[int, Field(ge=2)] = Field(5, description="number of folds of the split")
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, description="seed of split, sampling, augmentation, weights")
    # network
    encoders: dict[str, dict[str, Any]] = Field(
        description="encoders of the ensemble, each with the values that differ for it"
    )
    encoder_weights: str = Field(
        IMAGENET,
        description="the encoder's first weights: imagenet (from an installed package, or the Hugging Face hub), none "
        "(random), or a safetensors file or PyTorch state dict",
    )
    from_folds: str = Field(
        NO_FILE,
        description="folds folder of another experiment whose whole networks are the first weights, or none",
    )
    decoder_channels: Annotated[tuple[Positive, ...], Field(min_length=1, max_length=MAX_DEPTH)] = Field(
        (256, 128, 64, 32, 16), description="channels of the U-Net's decoder blocks, deepest first"
    )
    decoder_stride: Annotated[int, Field(ge=1, le=4)] = Field(
        1, description="stride of the decoder's output: 1, 2 or 4"
    )
    downscale: Annotated[int, Field(ge=1, le=4)] = Field(1, description="factor by which the network reduces its input")
    # sampling
    crop_height: Positive = Field(256, description="height of a training crop, in pixels")
    crop_width: Positive = Field(512, description="width of a training crop, in pixels")
    class_sampling: Annotated[tuple[Share, ...], Field(min_length=5, max_length=5)] = Field(
        (0.2, 0.2, 0.2, 0.2, 0.2),
        description="shares of training samples drawn for clean strips and for classes 1, 2, 3 and 4",
    )
    foreground_crop_share: Share = Field(0.75, description="share of a class's samples that are placed on its defects")
    progressive_crops: Share = Field(
        0.0, description="share of the epochs in which crops grow from half their height and width to full size"
    )
    copy_paste: Share = Field(0.0, description="share of training samples into which another strip's defect is pasted")
    copy_paste_class: Annotated[int, Field(ge=1, le=4)] = Field(2, description="class of the pasted defects, 1 to 4")
    augment: Literal["light", "strong", "appearance"] = Field(
        "light",
        description="augmentation of brightness and shape; strong, for few strips, also exchanges rows and columns and "
        "needs square crops; appearance, for steel unlike the training strips, also varies gamma, focus and noise",
    )
    samples_per_epoch: Positive = Field(4096, description="training crops per epoch")
    pseudo_labels: str = Field(NO_PSEUDO_LABELS, description="folder of labels that bin/pseudo.sh wrote, or none")
    pseudo_label_share: Share = Field(
        0.25, description="share of pseudo-labelled strips among the samples of each class that has some"
    )
    # optimisation
    epochs: Positive = Field(30, description="epochs of training")
    batch_size: Positive = Field(16, description="crops per micro-batch, over all GPUs")
    grad_accum_steps: Positive = Field(1, description="micro-batches whose gradients are added to one optimiser step")
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        1e-3, description="highest learning rate of AdamW, reached after the warm-up; half a cosine follows"
    )
    encoder_learning_rate_factor: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0,
        description="factor of the encoder's learning rate; below 1 pretrained weights change less than the decoder",
    )
    weight_decay: NotNegative = Field(1e-2, description="weight decay of AdamW; biases and normalisations have none")
    warmup: Share = Field(0.05, description="share of all optimiser steps in which the learning rate rises")
    dice_weight: Share = Field(0.5, description="weight of the Dice loss; binary cross-entropy has the rest")
    reverse_ce_weight: NotNegative = Field(
        0.0, description="weight of the reverse cross-entropy, which is robust against imprecise masks; 0: off"
    )
    finetune_loss: Literal["none", "lovasz", "symmetric-lovasz", "focal"] = Field(
        "none",
        description="loss of the last epochs: a Lovász loss instead of Dice, or focal instead of cross-entropy",
    )
    finetune_start: Share = Field(0.75, description="share of the epochs after which finetune_loss is used")
    classifier_loss_weight: NotNegative = Field(
        0.0, description="weight of the loss of a head that predicts which classes a strip has; 0: no such head"
    )
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.998,
        description="limit of the averaged weights' decay per step, which rises as 1 - step^(-2/3): 0.998 is reached "
        "after 11,180 steps",
    )
    average_top_k: Positive = Field(1, description="best epochs whose weights are averaged, if that scores better")
    amp: Literal["auto", "fp16", "bf16", "apex", "off"] = Field(
        "auto", description="mixed precision; auto: fp16 on CUDA, bf16 on a CPU that supports it, otherwise off"
    )
    torch_compile: bool = Field(
        False, description="compile the network for training on a GPU (torch.compile), which takes minutes at first"
    )
    # tuning and inference
    postprocess: Literal["tuned", "plain"] = Field(
        "tuned",
        description="values that turn maps into masks: tuned on the training strips, or plain, for strips unlike "
        "those: pixels of at least 0.5, on strips for which the classifier gives the class at least 0.5",
    )
    tta: tuple[Literal["horizontal", "vertical", "both"], ...] = Field(
        ("horizontal",), description="flips averaged with the plain view in the exported graph, or none"
    )
    eval_batch_size: Positive = Field(8, description="strips per forward pass in validation")
    num_workers: Annotated[int, Field(ge=-1)] = Field(-1, description="loader processes; -1: by the number of cores")

    @field_validator(*PATH_FIELDS)
    @classmethod
    def _absolute_path(cls, value: str) -> str:
        # The recipe is read again from other working folders.
        return value if value in (NO_FILE, IMAGENET) else str(Path(value).resolve())

    @field_validator("decoder_stride")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value == 3:
            raise ValueError("a decoder doubles the resolution with each block: 1, 2 or 4")
        return value

    @field_validator("encoders", mode="before")
    @classmethod
    def _encoders_of_names(cls, value: Any) -> Any:
        """``encoders = ["resnet18", "resnet34"]`` are encoders without values of their own."""
        is_names = isinstance(value, list) and all(isinstance(name, str) for name in value)
        return {name: {} for name in value} if is_names else value

    @field_validator("encoders")
    @classmethod
    def _at_least_one_encoder(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        if not value:
            raise ValueError("name at least one")
        return value

    @model_validator(mode="after")
    def _transposed_crops_are_square(self) -> Recipe:
        if self.augment == "strong" and self.crop_height != self.crop_width:
            raise ValueError(
                f"augment: strong exchanges rows and columns, and crops of {self.crop_height}x{self.crop_width} are "
                "not square: choose --crop-height and --crop-width alike, or --augment light"
            )
        return self

    @model_validator(mode="after")
    def _decoder_is_no_deeper_than_encoders(self) -> Recipe:
        most = MAX_DEPTH - self.decoder_stride.bit_length() + 1  # each doubling of the stride leaves out a block
        if len(self.decoder_channels) > most:
            raise ValueError(
                f"decoder_channels: with a decoder_stride of {self.decoder_stride} there are at most {most} blocks: "
                "name fewer channels, or choose a smaller --decoder-stride"
            )
        return self

    def for_encoder(self, encoder: str, overrides: dict[str, Any] | None = None) -> Recipe:
        """The recipe of one encoder's networks: the encoder's own values, then those of the command line."""
        return build(SourcedValues(self.model_dump()).for_encoder(encoder).with_options(overrides or {}))


def build(values: dict[str, Any] | SourcedValues) -> Recipe:
    """A validated recipe.

    Raises:
        InputError: naming each wrong value, where it was written and what it may be.
    """
    sourced = values if isinstance(values, SourcedValues) else SourcedValues(values)
    recipe = _validated(sourced)
    for encoder, row in recipe.encoders.items():
        for name in EXPERIMENT:
            if name in row:
                place = sourced.place(f"encoders.{encoder}.{name}")
                raise InputError(f"{place}: it is the same for all networks and cannot be set for one encoder")
        if row:
            _validated(sourced.for_encoder(encoder), f"encoders.{encoder}.")
    return recipe


def named(recipe: str, overrides: dict[str, Any] | None = None) -> Recipe:
    """A recipe by its name or the path of its file; values of the command line replace its own."""
    return build(recipe_files.load(recipe).with_options(overrides or {}))


def read(paths: Paths) -> Recipe:
    """The recipe in use, from ``folds/recipe.json``.

    Raises:
        InputError: if the file is missing, damaged or of an earlier version.
    """
    try:
        return build(read_values(paths))
    except InputError as error:
        remake = command(paths, "make_folds")
        cure = "" if remake in str(error) else f": correct it, or delete it and run `{remake}`"
        raise InputError(f"{error}{cure}") from None


def read_values(paths: Paths) -> SourcedValues:
    """The values of ``folds/recipe.json`` and where each came from, not validated."""
    path = paths.recipe
    values = read_json(path, command(paths, "make_folds"))
    labels = values.pop(LABELS, None)
    if labels is None:
        return SourcedValues(values, origin=str(path))
    labels = dict.fromkeys(values, "default") | labels
    sources = {name: Source(label, f"{path}: {name}") for name, label in labels.items()}
    return SourcedValues(values, sources, origin=str(path))


def write(path: Path, recipe: Recipe, sources: dict[str, Source]) -> None:
    """Write ``folds/recipe.json``."""
    write_json(path, recipe.model_dump() | {LABELS: {name: source.label for name, source in sources.items()}})


def _validated(sourced: SourcedValues, table: str = "") -> Recipe:
    """The recipe of these values; an error names the values of an encoder with the encoder's ``table``."""
    unknown = [name for name in sourced.values if name not in Recipe.model_fields]
    if unknown:
        described = [
            f"{sourced.place(name, table)}: there is no such value{did_you_mean(name, Recipe.model_fields)}"
            for name in unknown
        ]
        raise InputError("; ".join(described))
    try:
        return Recipe.model_validate(sourced.values)
    except ValidationError as error:
        problems = [
            f"{sourced.place(name, table) if name else sourced.origin}: {text}"
            for name, text in validation_problems(error)
        ]
        raise InputError("; ".join(problems)) from None
