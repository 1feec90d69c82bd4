"""The photos under data/photos are what their table says."""

import csv
import hashlib
import re
from pathlib import Path

import pytest
from PIL import Image

DATA = Path(__file__).parents[1] / "data"
PHOTOS = DATA / "photos"
LICENCES = {
    "Public domain",
    "CC0-1.0",
    "CC-BY-2.0",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
}
with (PHOTOS / "manifest.tsv").open(encoding="utf-8", newline="") as table:
    ROWS = list(csv.DictReader(table, delimiter="\t"))


def test_every_row_has_its_file_and_every_file_its_row():
    rows = [f"{row['split']}/{row['file']}" for row in ROWS]
    files = [path.relative_to(PHOTOS).as_posix() for path in PHOTOS.glob("*/*")]
    assert sorted(rows) == sorted(files)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"])
def test_a_file_is_the_rgb_image_its_row_describes(row):
    path = PHOTOS / row["split"] / row["file"]
    with Image.open(path) as image:
        image.load()
        assert image.mode == "RGB"
        assert image.size == (int(row["width"]), int(row["height"]))
    assert hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"])
def test_a_row_credits_its_photo(row):
    assert row["author"].strip()
    assert row["licence"] in LICENCES
    # a web page, or the file of the distributing package that states author and licence
    assert re.match(r"https?://|debian/copyright|\S+\.desktop", row["source"])


@pytest.mark.parametrize("column", ["file", "sha256"])
def test_no_photo_is_there_twice_so_the_splits_are_disjoint(column):
    values = [row[column] for row in ROWS]
    assert len(set(values)) == len(values)


def test_the_splits_have_their_sizes():
    splits = [row["split"] for row in ROWS]
    assert set(splits) == {"train", "validation", "test"}
    assert splits.count("train") >= 90
    assert splits.count("validation") >= 10
    assert splits.count("test") == 20


def test_the_data_stay_below_50_megabytes():
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < 50e6
