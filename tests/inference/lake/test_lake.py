"""Prediction over a lake, in this process: what a result holds, what a second run adds, and what is refused."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from support.commands import ROOT, run_stage_in_process
from support.experiments import write_tiny_strips

pytest.importorskip("pyarrow")
from support.lake import SIZES, paths_in, read_result, run_locally, write_lake

from severstal import Predictor
from severstal.artifacts import write_json
from severstal.data import rle, strips
from severstal.data.labels import CLASSES
from severstal.demo.app import application
from severstal.errors import InputError
from severstal.inference.lake import shards
from severstal.inference.lake.result import Result
from severstal.inference.lake.sources import images_of
from severstal.inference.lake.storage import Location, naming
from severstal.inference.lake.worker import ShardWorker
from severstal.paths import Paths
from severstal.postprocess.components import connected_components
from severstal.training.threads import torch_threads

CORRUPT = ("empty.jpg", "text.png", "huge.png", "cut.jpg")


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Path:
    """Twelve images of three sizes, a JPEG under the name of a PNG, four corrupt objects, and a note."""
    folder = tmp_path_factory.mktemp("lake")
    write_lake(folder, 12)
    first = (folder / "day0" / "0000.jpg").read_bytes()
    (folder / "misnamed.png").write_bytes(first)
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.png").write_text("a note")
    (folder / "cut.jpg").write_bytes(first[:400])
    cv2.imwrite(str(folder / "huge.png"), np.zeros((4097, 4096), np.uint8))
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def result(exported, lake, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("result")
    run_locally(exported, lake, output)
    return output


def test_every_image_has_its_rows_once_and_a_clean_one_differs_from_one_not_seen(lake, result) -> None:
    table = read_result(result)
    assert sorted(set(table["path"])) == sorted(images_of(Location.parse(str(lake))))
    assert not table.duplicated(["path", "class"]).any()
    seen = [path for file in sorted(result.glob("shard-*")) for path in dict.fromkeys(paths_in(file))]
    assert len(seen) == len(set(seen)) == 17
    assert len(set(table["ensemble"])) == 1
    assert (table["modified"].dt.year > 2000).all()


def test_images_of_any_size_have_the_masks_of_the_network_and_their_measurements(exported, result) -> None:
    predictor = Predictor(exported.folds, "onnxruntime")
    for path, rows in read_result(result).query("not corrupt").groupby("path"):
        strip = strips.read(Path(str(path)))
        assert strip.shape in SIZES
        (expected,) = predictor.predict_arrays(strip[np.newaxis])
        assert rows["class"].dropna().tolist() == expected.classes
        for row in rows.dropna(subset=["class"]).to_dict("records"):
            mask = rle.decode(row["rle"], *strip.shape)
            # Another number of strips in a call may move a probability by a level.
            assert np.count_nonzero(mask != expected.masks[int(row["class"]) - 1]) <= 2
            assert row["area_px"] == mask.sum() == round(row["area_share"] * strip.size)
            y, x = np.nonzero(mask)
            assert (row["box_left"], row["box_top"]) == (x.min(), y.min())
            assert (row["box_width"], row["box_height"]) == (np.ptp(x) + 1, np.ptp(y) + 1)
            assert row["components"] == len(connected_components(mask)[1]) - 1
            assert row["mean_probability"] == pytest.approx(expected.confidences[int(row["class"]) - 1], abs=0.01)
            assert (row["height"], row["width"]) == strip.shape
            assert row["mean_grey"] == pytest.approx(strip.mean())


def test_what_cannot_be_decoded_is_corrupt_with_the_reason_and_counted(lake, result) -> None:
    corrupt = read_result(result).query("corrupt").set_index("path")
    assert sorted(corrupt.index) == sorted(str(lake / name) for name in CORRUPT)
    assert corrupt["class"].isna().all()
    for name, reason in (("empty.jpg", "is empty"), ("text.png", "is no JPEG"), ("huge.png", "4097x4096 pixels")):
        assert reason in corrupt.loc[str(lake / name), "reason"]
    summary = json.loads((result / "_SUMMARY.json").read_text())
    assert (summary["images"], summary["corrupt"], summary["other_size"]) == (17, 4, 8)
    of_table = read_result(result)["class"].value_counts()
    assert summary["with_class"] == {str(defect): of_table.get(defect, 0) for defect in CLASSES}
    assert summary["with_class"]["1"] > 0


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "torch"])
def test_strips_of_the_trained_size_have_the_codes_of_the_submission(
    exported, tmp_path, monkeypatch, engine: str
) -> None:
    write_tiny_strips(tmp_path / "strips", 10)
    paths = Paths(exported.input, exported.folds, tmp_path / "masks")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # a worker computes with one thread
    with torch_threads(2):
        run_stage_in_process("predict", paths, "--images", tmp_path / "strips", f"--engine={engine}")
    with torch_threads(1):
        run_locally(exported, tmp_path / "strips", tmp_path / "result", shard_size=4, engine=engine)
    table = read_result(tmp_path / "result").dropna(subset=["class"])
    found = {(Path(row.path).name, int(row["class"])): row.rle for _, row in table.iterrows()}
    submission = pd.read_csv(paths.submission, keep_default_na=False).query("EncodedPixels != ''")
    expected = {(row.ImageId, row.ClassId): row.EncodedPixels for row in submission.itertuples()}
    assert found == expected
    assert expected


def test_a_second_run_adds_new_images_and_leaves_finished_shards_alone(exported, tmp_path) -> None:
    lake, output = tmp_path / "lake", tmp_path / "result"
    write_lake(lake, 6)
    run_locally(exported, lake, output, shard_size=4)
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in output.glob("shard-*")}
    lost = output / "shard-00000001.parquet"
    lost.unlink()
    (output / ".shard-00000001.parquet.99999999").write_bytes(b"half of a table")  # as a killed worker leaves it
    write_lake(lake, 9)
    run = run_locally(exported, lake, output, shard_size=2)
    assert run.plan(2) == []
    assert not list(output.glob(".shard*"))
    assert lost.read_bytes() == before[lost][0], "a shard that is predicted again is the same"
    first = output / "shard-00000000.parquet"
    assert first.stat().st_mtime_ns == before[first][1]
    seen = [path for file in sorted(output.glob("shard-*")) for path in dict.fromkeys(paths_in(file))]
    assert sorted(seen) == sorted(images_of(Location.parse(str(lake))))
    assert run.summary()["images"] == 9


def test_another_ensemble_is_refused_with_what_differs(exported, result, lake, tmp_path) -> None:
    folds = shutil.copytree(exported.folds, tmp_path / "folds")
    values = json.loads((folds / "postprocess.json").read_text())
    values["rules"][0]["threshold"] = 200
    write_json(folds / "postprocess.json", values)
    with pytest.raises(InputError, match=r"result of another ensemble \(rules changed\): choose another --output"):
        run_locally(Paths(exported.input, folds, tmp_path), lake, result)


def test_an_image_without_permission_leaves_its_shard_open_until_it_can_be_read(
    exported, tmp_path, monkeypatch
) -> None:
    lake, output = tmp_path / "lake", tmp_path / "result"
    write_lake(lake, 4)
    closed = str(lake / "day0" / "0002.jpg")
    read = Location.read

    def refuse(location: Location) -> bytes:
        if str(location) == closed:
            raise InputError(f"{closed} cannot be used (Permission denied)")
        return read(location)

    monkeypatch.setattr(Location, "read", refuse)  # the tests may run as root, whom no permission stops
    with pytest.raises(InputError, match=r"1 of 2 shards are not finished, the first because .*Permission denied"):
        run_locally(exported, lake, output, shard_size=2)
    assert len(list(output.glob("shard-*"))) == 1
    monkeypatch.setattr(Location, "read", read)
    assert run_locally(exported, lake, output).summary()["corrupt"] == 0


def test_a_worker_that_cannot_load_the_ensemble_reports_why_for_each_shard(tmp_path) -> None:
    worker = ShardWorker(str(tmp_path), "onnxruntime", str(tmp_path / "result"), "version", threads=1)
    fields = {"number": 0, "file": str(tmp_path / "manifest.parquet"), "row_group": 0, "size": 1}
    report = worker({name: np.array([value]) for name, value in fields.items()})
    assert "holds no trained ensemble" in report["error"][0]


def test_numbers_below_one_are_refused(exported, tmp_path) -> None:
    done = run_stage_in_process("predict_lake", exported, tmp_path, f"--output={tmp_path}", "--workers=0", check=False)
    assert done.returncode == 2
    assert "--workers takes a number from 1, not 0" in done.stderr


def test_what_a_storage_refuses_is_named_with_a_cure() -> None:
    bucket = Location.parse("s3://mill/2026")
    message = r"s3://mill/2026 cannot be used \(AWS Error ACCESS_DENIED\): .*credentials"
    with pytest.raises(InputError, match=message), naming(bucket):
        raise OSError("AWS Error ACCESS_DENIED\nrequest 12")


def test_an_image_that_went_away_after_the_listing_is_corrupt(tmp_path) -> None:
    found = shards.read_image(str(tmp_path / "gone.jpg"))
    assert found.strip is None
    assert "is missing" in str(found.reason)


@pytest.mark.parametrize("kind", ["folder", "list"])
def test_a_source_without_images_is_an_error(exported, tmp_path, kind: str) -> None:
    source = tmp_path / "empty"
    source.mkdir() if kind == "folder" else source.write_text("# nothing\n\n")
    with pytest.raises(InputError, match="holds no images"):
        run_locally(exported, source, tmp_path / "result")


def test_a_list_names_images_relative_to_itself_once_each_whatever_their_suffix(tmp_path) -> None:
    (tmp_path / "list.txt").write_text("# strips\nday0/a.jpg\n\n/other/b\nday0/a.jpg\n")
    expected = [str(tmp_path / "day0" / "a.jpg"), "/other/b"]
    assert list(dict.fromkeys(images_of(Location.parse(str(tmp_path / "list.txt"))))) == expected
    pd.DataFrame({"path": ["day0/a.jpg", "/other/b"]}).to_parquet(tmp_path / "list.parquet")
    assert list(images_of(Location.parse(str(tmp_path / "list.parquet")))) == expected


def test_a_list_that_is_none_is_an_error(tmp_path) -> None:
    (tmp_path / "image.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(InputError, match="line 1 is no text: name a folder"):
        list(images_of(Location.parse(str(tmp_path / "image.jpg"))))
    pd.DataFrame({"name": ["a"]}).to_parquet(tmp_path / "list.parquet")
    with pytest.raises(InputError, match="no column 'path'"):
        list(images_of(Location.parse(str(tmp_path / "list.parquet"))))


@pytest.mark.parametrize("text", ["http://host/a", "s3://", "gs:///"])
def test_a_location_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no location"):
        Location.parse(text)


def test_a_file_address_is_a_path(tmp_path) -> None:
    assert str(Location.parse(f"file://{tmp_path}/a%20b")) == f"{tmp_path}/a b"


def test_a_strip_is_opened_from_a_result_by_its_path(exported, lake, result) -> None:
    path = lake / "day0" / "0000.jpg"
    stored = Result.at(str(result)).defects(str(path))
    expected = Predictor(exported.folds, "onnxruntime").predict(path)
    assert np.array_equal(stored.masks, expected.masks)
    assert stored.confidences == pytest.approx(expected.confidences)
    with pytest.raises(InputError, match="is empty"):
        Result.at(str(result)).defects(str(lake / "empty.jpg"))
    with pytest.raises(InputError, match="has no row of"):
        Result.at(str(result)).defects("/elsewhere.jpg")
    with pytest.raises(InputError, match="holds no result: make one"):
        Result.at(str(lake))


def test_inspect_and_the_demo_open_a_strip_of_a_result(exported, lake, result, tmp_path) -> None:
    path = lake / "day1" / "0001.png"
    paths = Paths(exported.input, exported.folds, tmp_path)
    run_stage_in_process("inspect_strips", paths, path, "--result", result)
    assert cv2.imread(str(paths.inspected.overlay(path.name))).shape == (*SIZES[1], 3)
    row = pd.read_csv(paths.inspected.table).iloc[0]
    rows = read_result(result).query("path == @path.as_posix()").astype({"class": int})
    expected = rows.set_index("class")["area_px"]
    assert {defect: row[f"class_{defect}_area_px"] for defect in expected.index} == expected.to_dict()
    predictor = Predictor(exported.folds, "onnxruntime")
    client = application(predictor, [], stored=Result.at(str(result)).defects).test_client()
    answer = client.get("/stored", query_string={"path": str(path)}).get_json()
    assert {defect["class"]: defect["area"] for defect in answer["defects"]} == expected.to_dict()
    encoded = answer["picture"].removeprefix("data:image/jpeg;base64,")
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture.shape == SIZES[1]
    assert 'id="path"' in client.get("/").text
    assert "has no row of" in client.get("/stored", query_string={"path": "/elsewhere.jpg"}).get_json()["error"]


def test_the_queries_of_the_documentation_run(result) -> None:
    duckdb = pytest.importorskip("duckdb")
    queries = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(queries) == 3
    for query in queries:
        rows = duckdb.sql(query.replace("s3://mill/defects", str(result))).fetchall()
        assert rows, query
