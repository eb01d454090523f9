"""Rows of CSV files in both forms that Kaggle has used, as spreadsheets and programs save them.

* current: ``ImageId,ClassId,EncodedPixels`` in any column order; in train.csv only defects have rows;
* of 2019: ``ImageId_ClassId,EncodedPixels``, four rows per image, the code empty where the image lacks the class.

Read as well, because the meaning is certain: a byte order mark, CRLF, quoted fields, semicolons or tabs between them,
column names in other letter case, a first column of row numbers, classes as ``3.0``.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from severstal.commands import command
from severstal.errors import InputError
from severstal.paths import Paths

CURRENT = ("ImageId", "ClassId", "EncodedPixels")
OF_2019 = ["ImageId_ClassId", "EncodedPixels"]
DELIMITERS = ",;\t"
INDEX_NAMES = ("", "Unnamed: 0", "index")  # what pandas and R call a column of row numbers
WHOLE = re.compile(r"\s*0*([0-9]+)(\.0*)?\s*")
csv.field_size_limit(2**31 - 1)  # the code of a noisy mask exceeds the 128 KiB that csv accepts by default


@dataclass(frozen=True)
class Table:
    """Rows of a CSV file in either form.

    Attributes:
        columns: names of the header, in its order, without a column of row numbers.
        rows: image, class and code as the file holds them; a class such as ``3.0`` is ``3``.
        lines: line of each row, counted from 1.
    """

    path: Path
    columns: list[str]
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def line(self, row: int) -> str:
        """File and line of a row, for messages."""
        return f"{self.path}, line {self.lines[row]}"


@dataclass(frozen=True)
class _Header:
    columns: list[str]
    delimiter: str
    has_index: bool


def read_table(path: Path, strict: bool = False) -> Table:
    """Rows of a table in either form; only the header and the number of fields are checked.

    Args:
        strict: take only what Kaggle takes: commas, the exact names, no column of row numbers, classes as ``3``.

    Raises:
        InputError: if the file is missing or no CSV file, has another header, or a row lacks fields.
    """
    try:
        text = path.read_bytes().decode("utf-8" if strict else "utf-8-sig")
    except FileNotFoundError:
        fetch = command(Paths(input=path.parent), "download_data")
        raise InputError(f"{path} is missing: `{fetch}` fetches the competition's files") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} cannot be read as CSV: it is no UTF-8 text ({error.reason} at byte {error.start}); save it as "
            '"CSV UTF-8", or copy or download it again'
        ) from None
    header = _read_header(path, text, strict)
    table = Table(path, header.columns)
    try:
        _read_rows(table, text, header, strict)
    except csv.Error as error:
        raise InputError(f"{path} cannot be read as CSV: {error}; copy or download it again") from None
    return table


def _read_header(path: Path, text: str, strict: bool) -> _Header:
    first = text.partition("\n")[0].rstrip("\r")
    for delimiter in DELIMITERS[:1] if strict else DELIMITERS:
        names = next(csv.reader([first], delimiter=delimiter), [])
        known = names if strict else [_known_name(name) for name in names]
        has_index = not strict and len(known) in (len(OF_2019) + 1, len(CURRENT) + 1) and known[0] in INDEX_NAMES
        columns = known[has_index:]
        if columns == OF_2019 or sorted(columns) == sorted(CURRENT):
            return _Header(columns, delimiter, has_index)
    raise InputError(
        f"{path}, line 1: the header is {first[:200]!r}; it must be '{','.join(CURRENT)}' or '{','.join(OF_2019)}': "
        "rename or remove columns"
    )


def _known_name(name: str) -> str:
    """The column that a name means in other letter case or with spaces around it; other names unchanged."""
    return {known.lower(): known for known in (*CURRENT, *OF_2019)}.get(name.strip().lower(), name)


def _read_rows(table: Table, text: str, header: _Header, strict: bool) -> None:
    reader = csv.reader(StringIO(text, newline=""), delimiter=header.delimiter, strict=True)
    next(reader, None)
    order = {name: position for position, name in enumerate(table.columns)}
    count = len(table.columns) + header.has_index
    empty: int | None = None  # an empty line is refused, unless it is at the end
    for fields in reader:
        if not fields:
            empty = empty or reader.line_num
            continue
        if empty or len(fields) != count:
            line, number = (empty, 0) if empty else (reader.line_num, len(fields))
            raise InputError(
                f"{table.path}, line {line}: {number} fields where the header has {count}: correct the row"
            )
        values = fields[header.has_index :]
        image, defect = _key(values, order)
        table.rows.append((image, defect if strict else _class_text(defect), values[order["EncodedPixels"]]))
        table.lines.append(reader.line_num)


def _key(values: list[str], order: dict[str, int]) -> tuple[str, str]:
    """Image and class of a row, as the file holds them."""
    if "ImageId" in order:
        return values[order["ImageId"]], values[order["ClassId"]]
    image, _, defect = values[0].rpartition("_")
    return image, defect


def _class_text(text: str) -> str:
    """``3`` for ``3.0``, as programs write a column that has had empty cells; other text unchanged."""
    match = WHOLE.fullmatch(text)
    return match[1] if match else text
