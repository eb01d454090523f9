"""Prediction on a real Ray cluster of two workers, from and to a real interface of S3, through kills of both sides.

Drivers that are killed belong to the cluster; the last one comes from outside, through the server of Ray's clients.
``KILLS=10`` kills the driver ten times instead of once.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import ROOT, arguments_of
from support.ray_cluster import ray_cluster, start_client_server
from support.s3 import s3_server

pytest.importorskip("pyarrow")
import pandas as pd
import psutil
import pyarrow.parquet as pq
from pyarrow import fs
from support.lake import SIZES, read_result, run_locally, write_lake

from severstal.errors import InputError
from severstal.inference.lake import storage
from severstal.inference.lake.cluster import Resources, ray_data
from severstal.inference.lake.output import Output
from severstal.inference.lake.sources import images_of
from severstal.inference.lake.storage import Location, walk
from severstal.paths import Paths

KILLS = int(os.environ.get("KILLS", "1"))
PATIENCE = 120.0  # seconds without a new shard
# Ray's client can wait for ever when its connection fails: closing, it joins the thread that reads the server's log.
ATTEMPTS = 2
SHARD_SIZE = 4
IMAGES = SHARD_SIZE * 4 * (KILLS + 2)
WORKER = "ray::MapWorker"


@pytest.fixture(scope="module")
def bucket() -> Iterator[Location]:
    """A prefix of a bucket; the variables of its server are set."""
    with s3_server() as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        storage._filesystem.cache_clear()
        fs.S3FileSystem(endpoint_override=variables["AWS_ENDPOINT_URL"], allow_bucket_creation=True).create_dir("mill")
        yield Location.parse("s3://mill/results")
        storage._filesystem.cache_clear()


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    write_lake(folder, IMAGES, SIZES[:1])
    return folder


@pytest.mark.slow
def test_killed_drivers_a_killed_worker_and_the_address_change_nothing(exported, lake, bucket, tmp_path) -> None:
    for path in walk(Location.parse(str(lake))):  # to a prefix with characters that an address would escape
        (bucket / "2026 #1%20" / Path(path).relative_to(lake).as_posix()).write(Path(path).read_bytes())
    source, output = bucket / "2026 #1%20", Output(bucket / "defects")
    with ray_cluster() as address:
        client_address = start_client_server()  # takes seconds, and is asked last
        command = driver(exported, source, output, address)
        for kill in range(KILLS):
            chance = random.Random(kill)
            stop_at = len(output.finished()) + chance.randint(0, 2)
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                assert comes_true(lambda at=stop_at: len(output.finished()) >= at, process)
                time.sleep(chance.random() / 4)  # anywhere in a shard
                process.send_signal(signal.SIGKILL)
        kept = {number: output.shard(number).info().mtime for number in output.finished()}
        command = driver(exported, source, output, client_address)
        for _ in range(ATTEMPTS):
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
                already = len(output.finished())
                if comes_true(lambda at=already: len(output.finished()) > at, process):
                    a_worker().kill()
                    said, _ = process.communicate()
                    break
                process.kill()
                said = "the driver wrote no shard"
        assert process.returncode == 0, said
    assert {number: output.shard(number).info().mtime for number in kept} == kept, (
        "a finished shard was predicted again"
    )
    run_locally(exported, lake, tmp_path / "local", SHARD_SIZE)
    expected = comparable(read_result(tmp_path / "local"), str(lake))
    pd.testing.assert_frame_equal(comparable(rows_of(output), str(source)), expected)
    assert len(expected) > IMAGES
    with pytest.raises(InputError, match="s3://nowhere/x is missing"):
        list(images_of(Location.parse("s3://nowhere/x")))


def test_a_cluster_that_is_not_there_is_an_error_with_a_cure() -> None:
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "init", refuse)
        with (
            pytest.raises(InputError, match=r"no Ray cluster answers at nowhere:1 .*RAY_AUTH_MODE"),
            ray_data("nowhere:1"),
        ):
            pass


def test_workers_that_do_not_fit_are_refused_and_a_fraction_of_a_gpu_is_shared() -> None:
    assert Resources(cpus=4, gpus=0.5).fitting({"CPU": 64.0, "GPU": 2.0}) == 4
    assert Resources(cpus=1).fitting({"CPU": 3.0}) == 3
    with pytest.raises(InputError, match="lower --cpus-per-worker or --gpus-per-worker"):
        Resources(cpus=1, gpus=1).fitting({"CPU": 8.0})


def refuse(**_: object) -> None:
    raise ConnectionError("refused")


def driver(paths: Paths, source: Location, output: Output, address: str) -> list[str]:
    command = [sys.executable, str(ROOT / "src" / "predict_lake.py"), str(source), f"--output={output.folder}"]
    command += [f"--address={address}", "--engine=onnxruntime", f"--shard-size={SHARD_SIZE}"]
    return [*command, *arguments_of(paths)]


def comes_true(condition, process: subprocess.Popen) -> bool:
    """Wait for a condition; whether it comes true while the driver runs, and within the patience."""
    ends_at = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, f"the driver ended with {process.returncode}"
        if time.monotonic() > ends_at:
            return False
        time.sleep(0.05)
    return True


def a_worker() -> psutil.Process:
    """A worker of this test's cluster."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # a process that has ended meanwhile
            if WORKER in " ".join(child.cmdline()):
                return child
    pytest.fail("the cluster has no worker")


def rows_of(output: Output) -> pd.DataFrame:
    """All rows of a result in a bucket."""
    files = [output.shard(number) for number in sorted(output.finished())]
    return pq.read_table([file.path for file in files], filesystem=output.folder.filesystem).to_pandas()


def comparable(table: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """All rows, sorted, without what differs between two storages: the images' prefix and time of change."""
    names = [path.removeprefix(prefix) for path in table["path"]]
    table = table.drop(columns="modified").assign(path=names)
    return table.sort_values(["path", "class"], ignore_index=True)
