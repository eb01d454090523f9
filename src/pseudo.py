"""Label strips that nobody labelled with a trained ensemble, where it is sure of them.

Reads input/test_images/ (or --images DIR), input/train_images/, the split, every network of folds/ with its engine and
folds/postprocess.json; writes folds/pseudo/ (or --output DIR): fold_<k>.csv in the form of train.csv, what fold k may
train on, verdicts.csv with the reasons, and pseudo.json. Fold k's labels come from fold k's networks alone, which
never saw its validation strips, cut by what was chosen without these.

    bash bin/pseudo.sh
    bash bin/make_folds.sh --folds folds/second --pseudo-labels folds/pseudo     an experiment that trains with them
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from severstal.artifacts import Artifact, file_hash, listing_hash, replacing
from severstal.console import Stage, parser, paths_of
from severstal.data import pseudo_labels, rle, strips
from severstal.data.labels import CLASSES
from severstal.data.training_set import read_training_set
from severstal.engines import catalog
from severstal.errors import InputError, run_stage
from severstal.inference.confidence import VERDICTS, Limits
from severstal.inference.pseudo_labelling import Labelling
from severstal.paths import PseudoPaths
from severstal.postprocess import tuned_values

METHOD = 1  # of judging: raised when the same answers would give other verdicts
NEAR_DUPLICATE = "like a labelled strip"


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--images", type=Path, metavar="DIR", help="a folder of strips; default: test_images of --input")
    made.add_argument("--output", type=Path, metavar="DIR", help="default: pseudo/ in the folds folder")
    made.add_argument("--engine", default="auto", help=catalog.OPTION_HELP)
    for name, value, what in (
        ("there", 0.8, "presence from which the gate says that a class is there"),
        ("absent", 0.4, "presence up to which it says that it is not"),
        ("margin", 1.0, "logits by which thresholds are moved to see whether the mask stays"),
        ("agreement", 0.8, "least Dice between masks that agree"),
    ):
        made.add_argument(f"--{name}", type=float, default=value, metavar="VALUE", help=f"{what}; default: {value}")
    options = made.parse_args()
    paths = paths_of(options)
    output = PseudoPaths(options.output.resolve()) if options.output else paths.pseudo
    stage = Stage("pseudo", paths)
    limits = limits_of(options.there, options.absent, options.margin, options.agreement)
    folder = options.images.resolve() if options.images else paths.test_images
    data, images = read_training_set(paths), strips.listing(folder)
    check_apart(folder, paths.train_images)
    labelling = Labelling.of(paths, data, tuned_values.read(paths.postprocess), limits)
    engine = catalog.choose(options.engine)
    networks = sum(len(one.members) for one in labelling.labellers)
    stage.read(f"{len(images)} strips of {folder}", f"{networks} networks, engine {engine}")
    artifact = labels_artifact(output, folder, images, labelling, engine)
    if not stage.is_cached(artifact):
        label(stage, artifact, output, folder, images, labelling, engine)
    tell(stage, pseudo_labels.read_record(output), len(images))
    stage.done(keep_time=options.images is None)


def limits_of(there: float, absent: float, margin: float, agreement: float) -> Limits:
    """Limits as the options give them, with presences as shares."""
    if not 0 <= absent < there <= 1:
        raise InputError(f"--absent {absent} --there {there}: they are shares, and the first is the smaller one")
    if not (0 <= margin < np.inf and 0 <= agreement <= 1):
        raise InputError(f"--margin {margin} --agreement {agreement}: the first is 0 or more, the second a share")
    return Limits(round(there * 255), round(absent * 255), margin, agreement)


def check_apart(folder: Path, labelled: Path) -> None:
    """Raise if the strips are the labelled ones, whose labels every network but one fold's has seen."""
    if folder == labelled.resolve():
        raise InputError(f"{folder} holds the labelled strips: name a folder of others with --images")


def labels_artifact(
    output: PseudoPaths, folder: Path, images: list[str], labelling: Labelling, engine: str
) -> Artifact:
    """The tables of all folds with everything that decides their content."""
    labellers = labelling.labellers
    inputs = {
        "folder": str(folder),
        "strips": listing_hash(folder, images),
        "training_set": labelling.data.fingerprint,
        "networks": {
            member.name: file_hash(member.files.onnx) for labeller in labellers for member in labeller.members
        },
        "choices": [labeller.choice.model_dump(mode="json") for labeller in labellers],
        "limits": asdict(labelling.limits),
        "engine": engine,
    }
    tables = [output.labels(labeller.fold) for labeller in labellers]
    return Artifact(output.record, inputs, METHOD, (*tables, output.verdicts))


def label(
    stage: Stage,
    artifact: Artifact,
    output: PseudoPaths,
    folder: Path,
    images: list[str],
    labelling: Labelling,
    engine: str,
) -> None:
    """Judge every strip by every fold's networks; write the tables and, last, the record."""
    output.record.unlink(missing_ok=True)  # it would be of other tables than those to come
    labellers, near_duplicates_of_labelled = (
        labelling.labellers,
        set(labelling.near_duplicates_of_labelled(folder, images)),
    )
    taken: list[dict[str, list[str]]] = [{} for _ in labellers]
    rows = [
        (image, one.fold, *[NEAR_DUPLICATE] * len(CLASSES))
        for image in near_duplicates_of_labelled
        for one in labellers
    ]
    rest = [image for image in images if image not in near_duplicates_of_labelled]
    assessment = labelling.assess(folder, rest, engine)
    for image, fold, found in tqdm(assessment, "judge", total=len(rest) * len(labellers), leave=False, disable=None):
        rows.append((image, fold, *found.verdicts))
        if found.is_sure:
            taken[fold][image] = [rle.encode(mask) for mask in found.masks]
    table = pd.DataFrame(rows, columns=["ImageId", "fold", *[f"class_{defect}" for defect in CLASSES]])
    for fold, codes in enumerate(taken):
        pseudo_labels.write_labels(output.labels(fold), codes)
    with replacing(output.verdicts) as temporary:
        table.sort_values(["ImageId", "fold"]).to_csv(temporary, index=False)
    made_by = [
        ({member.name: member.weights_hash() for member in one.members}, labelling.data.images(one.fold, held_out=True))
        for one in labellers
    ]
    pseudo_labels.write_record(output, artifact, folder, taken, made_by, counts_of(table), worth_of(labelling))
    stage.wrote(*[output.labels(one.fold) for one in labellers], output.verdicts, output.record)


def counts_of(table: pd.DataFrame) -> dict[str, list[int]]:
    """How often each verdict was given, per class and over all folds."""
    return {
        verdict: [int((table[f"class_{defect}"] == verdict).sum()) for defect in CLASSES]
        for verdict in (*VERDICTS, NEAR_DUPLICATE)
    }


def worth_of(labelling: Labelling) -> pseudo_labels.HeldOutQuality:
    """What labels made in the same way are worth where the truth is known."""
    sure, dices = labelling.assess_held_out()
    return pseudo_labels.HeldOutQuality(
        strips=len(sure),
        taken=int(sure.sum()),
        dice=dices.mean(axis=0).tolist(),
        dice_of_taken=dices[sure].mean(axis=0).tolist() if sure.any() else None,
    )


def tell(stage: Stage, record: pseudo_labels.Record, count: int) -> None:
    """Say how many strips were taken, of each class why others were not, and what the labels are worth."""
    for fold, one in enumerate(record.folds):
        stage.say(f"fold {fold}: {one.taken} of {count} strips taken, labelled by {', '.join(one.members)}")
    stage.say(f"{'over all folds':<24}" + "".join(f"{f'class {defect}':>9}" for defect in CLASSES))
    for verdict, counts in record.counts.items():
        stage.say(f"{verdict:<24}" + "".join(f"{number:>9}" for number in counts))
    quality = record.quality
    stage.say(f"labelled strips, judged by their fold's networks: {quality.taken} of {quality.strips} would be taken")
    stage.say(f"{'Dice of all of them':<24}" + "".join(f"{score:>9.4f}" for score in quality.dice))
    if quality.dice_of_taken:
        stage.say(f"{'Dice of those taken':<24}" + "".join(f"{score:>9.4f}" for score in quality.dice_of_taken))
    if any(len(one.members) == 1 for one in record.folds):
        stage.say("a fold with one network: whether members agree could not be asked")


if __name__ == "__main__":
    run_stage(main)
