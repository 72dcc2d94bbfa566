"""Row 13: a picture is taken apart in the child alone, whose answer is no more than numbers and texts."""

import sys
from pathlib import Path

import pytest
from PIL import Image

from fixtures.photos.pages import code_picture
from scraper.core.errors import UnreadableFile
from scraper.source import pages
from scraper.source.qr import reader as qr
from scraper.testing import first_of

LINK = "https://film.test/s/Ab12Cd34"
LIES = {
    "a line without end": "print('a' * (9 << 20), flush=True)",
    "a nest": "print('[' * 200000, flush=True)",
    "no JSON": "print('GET / HTTP/1.1', flush=True)",
    "a list": "print('[]', flush=True)",
    "a page that is a list": "print(json.dumps({'page': [], 'found': [], 'suspects': []}), flush=True)",
    "a page without end": 'print(\'{"page": 1e999, "found": [], "suspects": []}\', flush=True)',
    "corners that are none": "print(json.dumps({'page': 1, 'found': [['a', 'b', 'cd']], 'suspects': []}), flush=True)",
    "an error that there is not": "print(json.dumps({'error': 'SystemExit', 'values': {}}), flush=True)",
    "an error with values of its own": "print(json.dumps({'error': 'UnreadableFile', 'values': {'path': 1}}), flush=True)",
    "values that are a text": "print(json.dumps({'error': 'UnreadableFile', 'values': 'a'}), flush=True)",
    "dies": "sys.exit(3)",
}
CHILD = "import json, sys\nfor line in sys.stdin:\n    {lie}\n"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(code_picture(LINK, 8)).resize((400, 400), 0).save(path)
    return path


@pytest.mark.parametrize("suffix", first_of([".png", ".jpg", ".gif", ".bmp", ".webp"]))
def test_hostile_13_a_picture_is_not_opened_here(photo, suffix, tmp_path, monkeypatch):
    """With the decoder broken in this process, codes are read and drawn all the same."""
    given, out = tmp_path / f"given{suffix}", tmp_path / f"drawn{suffix}"
    Image.open(photo).convert("RGB").save(given)

    def opened(*_: object, **__: object) -> None:
        raise AssertionError("opened in our own process")

    monkeypatch.setattr(pages, "_open", opened)
    monkeypatch.setattr(Image, "open", opened)
    monkeypatch.setattr(Image.Image, "save", opened)
    with qr.Reader() as reader:
        reading = reader.read(given, certain=LINK.__eq__)
        assert [found.text for found in reading.codes] == [LINK]
        assert reader.frames_left_out(given) == 0
        reader.annotate(given, reading, out)
    monkeypatch.undo()
    with Image.open(out) as drawn:
        assert drawn.size == (400, 400)


@pytest.mark.parametrize("lie", LIES)
def test_hostile_13_what_the_reader_of_pictures_claims_is_looked_at(lie, photo, tmp_path):
    with qr.Reader(tmp_path, program=(sys.executable, "-c", CHILD.format(lie=LIES[lie]))) as reader:
        with pytest.raises(UnreadableFile):
            reader.read(photo, budget_s=30, certain=LINK.__eq__)
        assert reader.frames_left_out(photo) == 0
        with pytest.raises(UnreadableFile):
            reader.annotate(photo, qr.Reading((), 1, 0.0), tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()


def test_hostile_13_a_reader_that_hangs_is_ended(photo, tmp_path):
    with qr.Reader(tmp_path, program=(sys.executable, "-c", "while True: pass")) as reader:
        assert reader.read(photo, budget_s=1, certain=LINK.__eq__).out_of_time


def test_hostile_13_a_drawing_of_no_known_kind_is_not_written(photo, tmp_path):
    with qr.Reader() as reader, pytest.raises(UnreadableFile):
        reader.annotate(photo, qr.Reading((), 1, 0.0), tmp_path / "out.exe")
    assert not (tmp_path / "out.exe").exists()
