"""The one configuration: typed, validated, every value settable from the command line as ``--its-name``.

A recipe is a named set of values. ``make_folds`` writes the one in use to ``folds/recipe.json``; every
later stage reads it there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from severstal.artifacts import read_json
from severstal.errors import InputError

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]

NO_PSEUDO_LABELS = "none"


class Recipe(BaseModel):
    """Values of a whole run. Sizes are in pixels, learning rates per AdamW step, shares between 0 and 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="the recipe these values started from")
    # split
    num_folds: Annotated[int, Field(ge=2)] = Field(5, description="number of folds")
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(
        0, description="seed of the split, the sampling, the augmentation and the weights"
    )
    # network
    encoders: dict[str, dict[str, Any]] = Field(
        description="encoders of the ensemble, each with the values that differ for it"
    )
    encoder_weights: Literal["imagenet", "none"] = Field(
        "imagenet", description="where the encoder's first weights come from"
    )
    decoder_channels: Annotated[tuple[Positive, ...], Field(min_length=1, max_length=5)] = Field(
        (256, 128, 64, 32, 16), description="width of the U-Net's decoder, deepest first"
    )
    downscale: Annotated[int, Field(ge=1, le=4)] = Field(
        1, description="the network sees strips this many times smaller, inside the graph; its logits are scaled back"
    )
    # sampling
    crop_height: Positive = 256
    crop_width: Positive = 512
    class_sampling: Annotated[tuple[Share, ...], Field(min_length=5, max_length=5)] = Field(
        (0.2, 0.2, 0.2, 0.2, 0.2),
        description="share of training samples drawn for: clean strips, then classes 1 to 4",
    )
    foreground_crop_share: Share = Field(
        0.75, description="share of defect samples whose crop is made to hold the defect"
    )
    progressive_crops: Share = Field(
        0.0, description="share of the epochs in which crops grow from half of their height and width to all of it"
    )
    copy_paste: Share = Field(
        0.0, description="share of training samples into which a defect of another strip is pasted"
    )
    copy_paste_class: Annotated[int, Field(ge=1, le=4)] = Field(2, description="class of the defects that are pasted")
    augment: Literal["light", "strong"] = Field(
        "light",
        description="changes of grey and shape; strong ones, for few strips, exchange rows and columns too and take "
        "square crops",
    )
    samples_per_epoch: Positive = Field(4096, description="crops shown per epoch")
    pseudo_labels: str = Field(
        NO_PSEUDO_LABELS, description="folder of pseudo-labels that bin/pseudo.sh wrote, or none"
    )
    pseudo_label_share: Share = Field(
        0.25, description="share of the samples that pseudo-labelled strips give, where there are any of the kind"
    )
    # optimisation
    epochs: Positive = 30
    batch_size: Positive = Field(16, description="crops per optimiser step and micro-batch, over all GPUs")
    grad_accum_steps: Positive = Field(1, description="micro-batches whose gradients make one optimiser step")
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-2
    warmup: Share = Field(0.05, description="share of all steps in which the learning rate rises")
    dice_weight: Share = Field(0.5, description="weight of the Dice loss; binary cross-entropy has the rest")
    reverse_ce_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        0.0, description="weight of the reverse cross-entropy, which forgives masks that were drawn loosely"
    )
    finetune_loss: Literal["none", "lovasz", "symmetric-lovasz", "focal"] = Field(
        "none", description="loss of the last epochs: Lovász in place of Dice, or focal in place of cross-entropy"
    )
    finetune_start: Share = Field(0.75, description="share of the epochs after which the late loss takes over")
    classifier_loss_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        0.0, description="weight in the loss of a classification head that says which classes a strip has; 0: no head"
    )
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.998, description="decay per step of the averaged weights that are validated and kept"
    )
    average_top_k: Positive = Field(
        1, description="best epochs whose weights are averaged in the end; kept if that scores better than the best"
    )
    amp: Literal["auto", "fp16", "bf16", "apex", "off"] = Field(
        "auto", description="mixed precision: fp16 on CUDA, bf16 on a CPU that has it, else off"
    )
    # inference
    tta: tuple[Literal["horizontal", "vertical", "both"], ...] = Field(
        ("horizontal",), description="flipped views averaged with the plain one, in the exported graph"
    )
    eval_batch_size: Positive = Field(8, description="whole strips per forward pass in validation")
    num_workers: Annotated[int, Field(ge=-1)] = Field(-1, description="loader processes; -1: by number of cores")

    @field_validator("pseudo_labels")
    @classmethod
    def _pseudo_is_a_whole_path(cls, value: str) -> str:
        # The recipe is read again from other working folders.
        return value if value == NO_PSEUDO_LABELS else str(Path(value).resolve())

    @model_validator(mode="after")
    def _encoders_hold_known_values(self) -> Recipe:
        if not self.encoders:
            raise ValueError("encoders: name at least one")
        for encoder, values in self.encoders.items():
            unknown = set(values) - set(Recipe.model_fields) | set(values) & {
                "encoders",
                "num_folds",
                "seed",
                "name",
            }
            if unknown:
                raise ValueError(f"encoders: {encoder} cannot set {', '.join(sorted(unknown))}")
        return self

    @model_validator(mode="after")
    def _crops_that_are_turned_are_square(self) -> Recipe:
        if self.augment == "strong" and self.crop_height != self.crop_width:
            raise ValueError(
                f"augment: strong exchanges rows and columns, and crops of {self.crop_height}x{self.crop_width} are "
                "not square: choose --crop-height and --crop-width alike, or --augment light"
            )
        return self

    def for_encoder(self, encoder: str, overrides: dict[str, Any] | None = None) -> Recipe:
        """The recipe as one encoder is trained with it: its own row, then the command line's values."""
        values = self.model_dump() | self.encoders.get(encoder, {}) | (overrides or {})
        return build(values | {"encoders": {encoder: {}}})


RECIPES: dict[str, dict[str, Any]] = {
    # Minutes on a laptop's CPU: shows every stage at work on synthetic steel.
    "sample": {
        "num_folds": 2,
        "encoders": {"tu-mobilenetv4_conv_small": {}, "tu-regnety_002": {}},
        "encoder_weights": "none",
        "decoder_channels": (96, 64, 32, 16, 8),
        "downscale": 2,
        "crop_width": 256,
        "samples_per_epoch": 800,
        "epochs": 4,
        "batch_size": 8,
        "learning_rate": 2e-3,
        "class_sampling": (0.3, 0.15, 0.1, 0.3, 0.15),
        "ema_decay": 0.98,
        "tta": (),
        "eval_batch_size": 4,
    },
    # Real steel without a GPU: twenty minutes on two cores for 140 strips, from random weights.
    "cpu-quick": {
        "num_folds": 4,
        "encoders": {"tu-resnet10t": {}},
        "encoder_weights": "none",
        "decoder_channels": (64, 48, 32, 24, 16),
        "downscale": 2,
        "crop_width": 256,
        "samples_per_epoch": 2600,
        "epochs": 4,
        "batch_size": 8,
        "learning_rate": 2e-3,
        "class_sampling": (0.15, 0.25, 0.2, 0.25, 0.15),
        "ema_decay": 0.99,
        "tta": ("horizontal", "vertical", "both"),
        "eval_batch_size": 4,
    },
    # The same, trained longer: an hour.
    "cpu": {
        "num_folds": 4,
        "encoders": {"tu-resnet10t": {}},
        "encoder_weights": "none",
        "decoder_channels": (64, 48, 32, 24, 16),
        "downscale": 2,
        "crop_width": 256,
        "samples_per_epoch": 4400,
        "epochs": 8,
        "batch_size": 8,
        "learning_rate": 2e-3,
        "class_sampling": (0.15, 0.25, 0.2, 0.25, 0.15),
        "ema_decay": 0.99,
        "tta": ("horizontal", "vertical", "both"),
        "eval_batch_size": 4,
    },
    # The competition on a GPU with 16 GB or more: four unlike encoders, five folds.
    "kaggle": {
        "num_folds": 5,
        "encoders": {
            "efficientnet-b3": {},
            "se_resnext50_32x4d": {},
            "resnet34": {},
            "tu-convnext_tiny": {"decoder_channels": (256, 128, 64, 32), "learning_rate": 3e-4},
        },
        "samples_per_epoch": 8192,
        "epochs": 40,
        "batch_size": 16,
        "learning_rate": 5e-4,
        "ema_decay": 0.999,
        "tta": ("horizontal", "vertical"),
    },
}


def build(values: dict[str, Any]) -> Recipe:
    """A validated recipe.

    Raises:
        InputError: naming each value that is wrong and what it takes.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        told = [(".".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, ")) for e in error.errors()]
        # What concerns several values has no place of its own: its text names them.
        raise InputError("recipe: " + "; ".join(f"{at}: {what}" if at else what for at, what in told)) from None


def named(name: str, overrides: dict[str, Any]) -> Recipe:
    """A recipe of the table with the command line's values put over it."""
    if name not in RECIPES:
        raise InputError(f"no recipe is called {name!r}; there are {', '.join(RECIPES)}")
    return build({"name": name} | RECIPES[name] | overrides)


def read(path: Path) -> Recipe:
    """The recipe in use, from ``folds/recipe.json``."""
    remake = "bash bin/make_folds.sh"
    values = read_json(path, remake)
    try:
        return build(values)
    except InputError as error:
        raise InputError(f"{path}: {error}: mend it, or delete it and run `{remake}`") from None


def parse_value(field: str, text: str) -> Any:
    """A command line's text as the field's raw value; lists are written ``a,b`` (or ``none`` for an empty one).

    ``--encoders resnet18,resnet34`` gives encoders without values of their own; JSON is taken as it is.
    """
    if text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"--{field.replace('_', '-')} is no valid JSON: {error}") from None
    parts = [part.strip() for part in text.split(",")]
    if field == "encoders":
        return {name: {} for name in parts}
    if "tuple[" in str(Recipe.model_fields[field].annotation):
        return [] if text == "none" else parts
    return text  # pydantic reads numbers from text
