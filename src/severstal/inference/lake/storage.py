"""Objects in folders of this machine and in buckets of S3 and Google Cloud Storage, through pyarrow.

Credentials, region and endpoint come from where the storage's own tools look for them: ``AWS_ACCESS_KEY_ID``,
``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION``, ``AWS_ENDPOINT_URL`` or the machine's role, and
``GOOGLE_APPLICATION_CREDENTIALS`` or the machine's account.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pyarrow import fs

from severstal.artifacts import replacing
from severstal.errors import InputError, first_line

LOCAL = "file"
BUCKETS = ("s3", "gs")
S3_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
S3_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


@dataclass(frozen=True)
class Location:
    """A folder or a file.

    Attributes:
        scheme: ``file``, ``s3`` or ``gs``.
        path: absolute on this machine, else ``bucket/key``.
    """

    scheme: str
    path: str

    @classmethod
    def parse(cls, text: str, base: Path | None = None) -> Location:
        """The location that a user names: a path, ``file:///path``, ``s3://bucket/key`` or ``gs://bucket/key``.

        Args:
            base: the folder that a relative path starts from; the working folder by default.

        Raises:
            InputError: for another scheme, or a bucket without a name.
        """
        if not text.strip():
            raise InputError("the location is empty; is a variable of your script not set?")
        scheme, separator, rest = text.partition("://")
        if not separator:
            return cls(LOCAL, os.path.normpath((base or Path.cwd()) / text))
        if scheme == LOCAL:
            return cls(LOCAL, os.path.normpath(unquote(urlsplit(text).path)))
        if scheme not in BUCKETS or not rest.strip("/"):
            raise InputError(f"{text} is no location: name a folder, file:///folder, s3://bucket/prefix or gs://...")
        return cls(scheme, rest.strip("/"))

    def __str__(self) -> str:
        return self.path if self.scheme == LOCAL else f"{self.scheme}://{self.path}"

    def __truediv__(self, name: str) -> Location:
        return Location(self.scheme, f"{self.path.rstrip('/')}/{name}")

    @property
    def filesystem(self) -> fs.FileSystem:
        return _filesystem(self.scheme, "" if self.scheme == LOCAL else self.path.split("/")[0])

    def info(self) -> fs.FileInfo:
        """Kind, size and time of change.

        Raises:
            InputError: if the storage refuses to answer.
        """
        with naming(self):
            return self.filesystem.get_file_info(self.path)

    def exists(self) -> bool:
        return self.info().type != fs.FileType.NotFound

    def read(self) -> bytes:
        """The whole content.

        Raises:
            InputError: if the object is missing or cannot be read.
        """
        with naming(self), self.filesystem.open_input_stream(self.path) as stream:
            content: bytes = stream.read()
            return content

    def write(self, content: bytes) -> None:
        """Write an object that is complete as soon as it has its name.

        Raises:
            InputError: if the storage refuses it.
        """
        if self.scheme == LOCAL:
            with replacing(Path(self.path)) as temporary:
                temporary.write_bytes(content)
            return
        with naming(self):
            # One write and no context: leaving a context after an error would give the name to half of the content.
            stream = self.filesystem.open_output_stream(self.path)
            stream.write(content)
            stream.close()

    def entries(self) -> list[fs.FileInfo]:
        """What a folder holds, by name; empty if there is no such folder.

        Raises:
            InputError: if the storage refuses to list it.
        """
        with naming(self):
            found = self.filesystem.get_file_info(fs.FileSelector(self.path, allow_not_found=True))
        return sorted(found, key=lambda info: info.base_name)


def walk(folder: Location) -> Iterator[str]:
    """Paths of all files below a folder, in a fixed order; one folder's listing is in memory at a time.

    Hidden files and folders, whose names start with a dot, are left out.

    Raises:
        InputError: if the storage refuses to list a folder.
    """
    entries = [entry for entry in folder.entries() if not entry.base_name.startswith(".")]
    yield from (entry.path for entry in entries if entry.type == fs.FileType.File)
    for entry in entries:
        # Some object stores list a folder's own marker among its content.
        if entry.type == fs.FileType.Directory and entry.path.rstrip("/") != folder.path:
            yield from walk(Location(folder.scheme, entry.path))


@contextmanager
def naming(location: Location) -> Iterator[None]:
    """Turn an error of the storage into one that names the location."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{location} is missing") from None
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise InputError(
            f"{location} cannot be used ({reason}): check the name, the permission and, for a bucket, the variables "
            "with its credentials, region and endpoint"
        ) from None


@cache
def _filesystem(scheme: str, bucket: str) -> fs.FileSystem:
    """The client of a bucket; one per process, as each has its own connections."""
    if scheme == "s3":
        endpoint, region = _first_of(S3_ENDPOINTS), _first_of(S3_REGIONS)
        if endpoint is None and region is None:
            with naming(Location(scheme, bucket)):
                region = fs.resolve_s3_region(bucket)
        return fs.S3FileSystem(endpoint_override=endpoint, region=region)
    return fs.GcsFileSystem() if scheme == "gs" else fs.LocalFileSystem()


def _first_of(names: tuple[str, ...]) -> str | None:
    """The value of the first environment variable that is set."""
    return next((os.environ[name] for name in names if os.environ.get(name)), None)
