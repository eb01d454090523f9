"""Label strips that nobody labelled with a trained ensemble, where it is sure of them.

Reads input/test_images/ (or --images DIR), input/train_images/, the split, every network of folds/ with its engine and
folds/postprocess.json; writes folds/pseudo/ (or --output DIR): fold_<k>.csv in the form of train.csv, what fold k may
train on, verdicts.csv with the reasons, and pseudo.json. Fold k's labels come from fold k's networks alone, which
never saw its validation strips, cut by what was chosen without these.

    bash bin/pseudo.sh
    bash bin/make_folds.sh --folds folds/second --pseudo folds/pseudo     an experiment that trains with them
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from severstal import engines, folds, postprocess, pseudo, recipe, rle, strips
from severstal.artifacts import file_hash, fingerprint, listing_hash, replacing
from severstal.command_line import parser, paths_of
from severstal.data import TrainingSet, read_training_set
from severstal.errors import InputError, run_stage
from severstal.labels import CLASSES
from severstal.member import Member, members
from severstal.oof import OutOfFold
from severstal.paths import Paths, PseudoPaths
from severstal.prediction import in_batches
from severstal.stage import Stage
from severstal.sureness import ABSENT, REASONS, THERE, Judged, Limits, judge
from severstal.team import check_ready

BATCH = 4  # strips per call of an engine
TWIN = "like a training strip"
COLUMNS = [f"class_{defect}" for defect in CLASSES]


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--images", type=Path, metavar="DIR", help="a folder of strips; default: test_images of --input")
    made.add_argument("--output", type=Path, metavar="DIR", help="default: pseudo/ in the folds folder")
    made.add_argument("--engine", default="auto", help=f"auto, {', '.join(engines.RUNTIMES)}")
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
    folder = options.images.resolve() if options.images else paths.test_images
    data, images = read_training_set(paths), strips.listing(folder)
    check_apart(folder, paths)
    limits = limits_of(options.there, options.absent, options.margin, options.agreement)
    values = postprocess.read(paths.postprocess)
    labellers = labellers_of(paths, data, values)
    engine = engines.choose(options.engine)
    networks = [member for one in labellers for member in one.team]
    stage.read(f"{len(images)} strips of {folder}", f"{len(networks)} networks, engine {engine}")
    made_from = identity(folder, images, data, labellers, limits, engine)
    if is_up_to_date(output, made_from, len(labellers)):
        stage.up_to_date(output.record)
    else:
        output.record.unlink(missing_ok=True)  # of other tables than those to come
        label(stage, output, folder, images, data, labellers, limits, engine, made_from)
    tell(stage, pseudo.read_record(output), len(images))
    stage.done(keep_time=options.images is None)


@dataclass(frozen=True)
class Labeller:
    """One fold's networks, the weights of their maps, and the cuts chosen without the strips held out from them."""

    fold: int
    team: list[Member]
    choice: postprocess.Choice

    @property
    def weights(self) -> list[int]:
        return [self.choice.blend[member.encoder] for member in self.team]


def check_apart(folder: Path, paths: Paths) -> None:
    """Raise if the strips are the labelled ones, of which every network but one fold's has seen the labels."""
    if folder == paths.train_images.resolve():
        raise InputError(f"{folder} holds the labelled strips: name a folder of others with --images")


def limits_of(there: float, absent: float, margin: float, agreement: float) -> Limits:
    """Limits as the options give them, with presences as shares."""
    if not 0 <= absent < there <= 1:
        raise InputError(f"--absent {absent} --there {there}: they are shares, and the first is the smaller one")
    if not (margin >= 0 and 0 <= agreement <= 1):
        raise InputError(f"--margin {margin} --agreement {agreement}: from 0 up, and between 0 and 1")
    return Limits(round(there * 255), round(absent * 255), margin, agreement)


def labellers_of(paths: Paths, data: TrainingSet, values: postprocess.Tuning) -> list[Labeller]:
    """Each fold's networks, all of them finished, exported, and held back from the strips that the split says.

    Raises:
        InputError: if one is not, or the tuned values do not tell what was chosen without each fold.
    """
    chosen = recipe.read(paths.recipe)
    known = members(paths, chosen)
    folds.check_count(data.split, paths.folds_csv, chosen.folds)
    OutOfFold(data, known)  # checks that every network's held-out strips are its fold's
    if len(values.held_out) != chosen.folds:
        raise InputError(f"{paths.postprocess} does not tell what each fold's values are: run `bash bin/tune.sh` again")
    made = []
    for fold, choice in enumerate(values.held_out):
        team = [member for member in known if member.fold == fold and choice.blend.get(member.encoder)]
        for member in team:
            check_ready(member, values)
        made.append(Labeller(fold, team, choice))
    return made


def identity(
    folder: Path, images: list[str], data: TrainingSet, labellers: list[Labeller], limits: Limits, engine: str
) -> str:
    made_by = [
        ([(member.name, file_hash(member.files.onnx)) for member in one.team], one.choice.model_dump())
        for one in labellers
    ]
    return fingerprint(
        str(folder), listing_hash(folder, images), data.fingerprint, made_by, asdict(limits), engine, folds.ALIKE
    )


def is_up_to_date(output: PseudoPaths, made_from: str, count: int) -> bool:
    files = [output.verdicts, *map(output.labels, range(count))]
    if not output.record.exists() or not all(file.exists() for file in files):
        return False
    record = pseudo.read_record(output)
    whole = all(file_hash(output.labels(k)) == one.table for k, one in enumerate(record.folds))
    return record.made_from == made_from and whole


def label(
    stage: Stage,
    output: PseudoPaths,
    folder: Path,
    images: list[str],
    data: TrainingSet,
    labellers: list[Labeller],
    limits: Limits,
    engine: str,
    made_from: str,
) -> None:
    """Judge every strip by every fold's networks; write the tables and, last, the record."""
    twins = set(twins_of(folder, images, data))
    taken: list[dict[str, list[str]]] = [{} for _ in labellers]
    rows = [(image, k.fold, *[TWIN] * len(CLASSES)) for image in sorted(twins) for k in labellers]
    rest = [image for image in images if image not in twins]
    judged = judge_all(folder, rest, data, labellers, limits, engine)
    for image, fold, found in tqdm(judged, "judge", total=len(rest) * len(labellers), leave=False, disable=None):
        rows.append((image, fold, *found.verdicts))
        if found.is_sure:
            taken[fold][image] = [rle.encode(mask) for mask in found.masks]
    table = pd.DataFrame(rows, columns=["ImageId", "fold", *COLUMNS]).sort_values(["ImageId", "fold"])
    for fold, codes in enumerate(taken):
        pseudo.write_labels(output.labels(fold), codes)
    with replacing(output.verdicts) as temporary:
        table.to_csv(temporary, index=False)
    made_by = [
        ({member.name: member.weights_hash() for member in one.team}, data.images(one.fold, held_out=True))
        for one in labellers
    ]
    pseudo.write_record(output, made_from, folder, taken, made_by, counts_of(table))
    stage.wrote(*[output.labels(one.fold) for one in labellers], output.verdicts, output.record)


def twins_of(folder: Path, images: list[str], data: TrainingSet) -> list[str]:
    """Strips that are near-duplicates of a labelled one: they have a label, and some fold validates on it."""
    size, workers = (data.height, data.width), os.cpu_count() or 1
    own = folds.thumbnails_of(folder, images, *size, workers)
    labelled = folds.thumbnails_of(data.paths.train_images, sorted(data.labels), *size, workers)
    return [images[i] for i in np.flatnonzero(folds.have_twins(own, labelled))]


def judge_all(
    folder: Path, images: list[str], data: TrainingSet, labellers: list[Labeller], limits: Limits, engine: str
) -> Iterator[tuple[str, int, Judged]]:
    """Yield every strip with every fold and its networks' judgement; judging one fold runs beside the next."""
    runtime = engines.runtime(engine)
    loaded = [[runtime.load(member) for member in one.team] for one in labellers]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for batch in in_batches(images, BATCH):
            read = np.stack([strips.read_sized(folder / image, data.height, data.width) for image in batch])
            jobs = []
            for one, networks in zip(labellers, loaded, strict=True):
                maps, presences = zip(*(network(read) for network in networks), strict=True)
                for row, image in enumerate(batch):
                    of_strip = [found[row] for found in maps], [found[row] for found in presences]
                    jobs.append((image, one.fold, pool.submit(judge, *of_strip, one.weights, one.choice.cuts, limits)))
            yield from ((image, fold, job.result()) for image, fold, job in jobs)


def counts_of(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """How often each verdict was given, per class and over all folds."""
    return {
        verdict: {str(defect): int((table[f"class_{defect}"] == verdict).sum()) for defect in CLASSES}
        for verdict in (THERE, ABSENT, *REASONS, TWIN)
    }


def tell(stage: Stage, record: pseudo.Record, strips_count: int) -> None:
    """Say how many strips were taken, and of each class why others were not."""
    for fold, one in enumerate(record.folds):
        stage.say(f"fold {fold}: {one.taken} of {strips_count} strips taken, labelled by {', '.join(one.members)}")
    stage.say(f"{'over all folds':<24}" + "".join(f"{f'class {defect}':>9}" for defect in CLASSES))
    for verdict, counts in record.counts.items():
        stage.say(f"{verdict:<24}" + "".join(f"{counts[str(defect)]:>9}" for defect in CLASSES))
    alone = [fold for fold, one in enumerate(record.folds) if len(one.members) == 1]
    if alone:
        stage.say("one network per fold: whether members agree could not be asked")


if __name__ == "__main__":
    run_stage(main)
