"""Labels in both of Kaggle's forms, and every wrong row named by its line."""

from __future__ import annotations

import pandas as pd
import pytest

from severstal.data import labels
from severstal.errors import InputError

HEADER = "ImageId,ClassId,EncodedPixels\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "a.jpg,1,1 2 3\n", "line 2.*3 numbers.*correct or drop the row"),
        (HEADER + "a.jpg,1,1 2\nb.jpg,1,1 x\n", "line 3.*'x'"),
        (HEADER + "a.jpg,1,1.5 3\n", "line 2.*'1.5'"),
        (HEADER + "a.jpg,1,99999999999999999999 3\n", "line 2.*not a whole number"),
        (HEADER + "a.jpg,1,9223372036854775807 9223372036854775807\n", "line 2.*not a whole number"),
        (HEADER + "a.jpg,1,999999999999999999 999999999999999999\n", "line 2.*beyond the last pixel"),
        (HEADER + "a.jpg,1,1 2 3 999999999999999999\n", "line 2.*beyond the last pixel"),
        (HEADER + "a.jpg,1,--1 2\n", "line 2.*'--1'"),
        (HEADER + "a.jpg,1,\u00b2 2\n", "line 2.*not a whole number"),
        (HEADER + "a.jpg,1,1_0 2\n", "line 2.*'1_0'"),
        (HEADER + "a.jpg,1,1 2\x00\n", "line 2.*not a whole number|cannot be read as CSV"),
        (HEADER + "a.jpg,1,0 3\n", "line 2.*count from 1"),
        (HEADER + "a.jpg,1,5 -3\n", "line 2.*count from 1"),
        (HEADER + "a.jpg,1,19 3\n", "line 2.*beyond the last pixel of a 4x5"),
        (HEADER + "a.jpg,1,9 2 3 2\n", "line 2.*out of order"),
        (HEADER + "a.jpg,1,3 4 5 2\n", "line 2.*overlaps"),
        (HEADER + "a.jpg,5,1 2\n", "line 2: class '5'.*correct the row"),
        (HEADER + "a.jpg,x,1 2\n", "line 2: class 'x'"),
        (HEADER + "a.jpg,0,1 2\n", "line 2: class '0'"),
        (HEADER + "a.jpg,,1 2\n", "line 2: class ''"),
        (HEADER + "a.jpg,1,1 2\na.jpg,1,5 2\n", "line 3.*is in line 2 already"),
        (HEADER + "c.jpg,1,1 2\n", "line 2: 'c.jpg' is not among the images"),
        (HEADER + "b.png,1,1 2\n", "line 2: 'b.png' is not among the images"),
        (HEADER + "a.jpg,1,1 2\nA.JPG,1,5 2\n", "line 3: image a.jpg, class 1 is in line 2 already"),
        (HEADER + "a.jpg,3.5,1 2\n", "line 2: class '3.5'"),
        (HEADER + 'a.jpg,1,"1 2\n5 2"\nb.jpg,7,1 2\n', "line 4: class '7'"),
        (HEADER + "a.jpg;1;1 2\n", "line 2: 1 fields"),
        ("Note,ImageId,ClassId,EncodedPixels\nx,a.jpg,1,1 2\n", "line 1: the header is 'Note,"),
        ("Image,Class,Pixels\n", "line 1: the header is 'Image,Class,Pixels'"),
        ("ImageId_ClassId,EncodedPixels\na.jpg_7,\n", "line 2: class '7'"),
        ("ImageId_ClassId,EncodedPixels\na.jpg,\n", "line 2: class 'a.jpg'"),
        (HEADER + "a.jpg,1,1 2,9\n", "line 2: 4 fields where the header has 3"),
        (HEADER + "a.jpg,1\n", "line 2: 2 fields"),
        (HEADER + "\na.jpg,1,1 2\n", "line 2: 0 fields"),
        (HEADER + 'a.jpg,1,"1 2\n', "cannot be read as CSV"),
        ("", "line 1: the header is ''"),
    ],
)  # fmt: skip
def test_a_wrong_row_is_refused_with_its_line(tmp_path, text, message) -> None:
    table = tmp_path / "train.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        labels.read_labels(table, 4, 5, ["a.jpg", "b.jpg"])
    assert str(table) in str(error.value)


def test_both_forms_give_the_same_labels(tmp_path) -> None:
    current, of_2019 = tmp_path / "a.csv", tmp_path / "b.csv"
    current.write_text("ImageId,ClassId,EncodedPixels\nb.jpg,3,1 2\n")
    rows = [
        f"{image}_{c},{'1 2' if (image, c) == ('b.jpg', 3) else ''}"
        for image in ("a.jpg", "b.jpg")
        for c in range(1, 5)
    ]
    of_2019.write_text("\n".join(["ImageId_ClassId,EncodedPixels", *rows]) + "\n")
    expected = {"a.jpg": {}, "b.jpg": {3: "1 2"}}
    assert labels.read_labels(current, 4, 5, ["a.jpg", "b.jpg"]) == expected
    assert labels.read_labels(of_2019, 4, 5, ["a.jpg", "b.jpg"]) == expected


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffImageId,ClassId,EncodedPixels\r\nb.jpg,3,1 2\r\n",
        '"ImageId","ClassId","EncodedPixels"\n"b.jpg","3","1 2"\n\n',
        "ImageId;ClassId;EncodedPixels\nb.jpg;3;1 2\n",
        "ImageId\tClassId\tEncodedPixels\nb.jpg\t3\t1 2\n",
        ",ImageId,ClassId,EncodedPixels\n0,b.jpg,3,1 2\n",
        "Unnamed: 0;EncodedPixels;ClassId;ImageId\n0;1 2;3;b.jpg\n",
        ",ImageId_ClassId,EncodedPixels\n0,b.jpg_3.0,1 2\n",
        "imageid, classid ,ENCODEDPIXELS\nb.jpg, 3.0,1 2\n",
        "ImageId,ClassId,EncodedPixels\nB.JPG,03,1 2\na.jpg,1.,\n",
    ],
    ids=["BOM and CRLF", "quotes", "semicolons", "tabs", "row numbers", "row numbers of pandas", "of 2019, row numbers",
         "other case", "upper-case names"],
)  # fmt: skip
def test_a_table_is_read_as_spreadsheets_and_programs_save_it(tmp_path, text) -> None:
    (tmp_path / "train.csv").write_bytes(text.encode())
    expected = {"a.jpg": {}, "b.jpg": {3: "1 2"}}
    assert labels.read_labels(tmp_path / "train.csv", 4, 5, ["a.jpg", "b.jpg"]) == expected


def test_names_with_commas_quotes_and_html_are_carried(tmp_path) -> None:
    names = ["a,b;c.jpg", 'say "hi".jpg', "<b>&amp;.jpg", "=1+1.jpg", "Stra\u00dfe \u94a2.png"]
    frame = pd.DataFrame({"ImageId": names, "ClassId": 1, "EncodedPixels": "1 2"})
    frame.to_csv(tmp_path / "train.csv", index=False)
    assert labels.read_labels(tmp_path / "train.csv", 4, 5, names) == {name: {1: "1 2"} for name in names}


def test_a_table_that_is_missing_or_no_text_is_refused_with_the_cure(tmp_path) -> None:
    (tmp_path / "train.csv").write_bytes("\ufeffImageId".encode("utf-16"))
    with pytest.raises(InputError, match=r"train\.csv cannot be read as CSV.*copy or download it again"):
        labels.read_labels(tmp_path / "train.csv", 4, 5)
    with pytest.raises(InputError, match=r"none\.csv is missing: `bash bin/download_data\.sh"):
        labels.read_labels(tmp_path / "none.csv", 4, 5)
