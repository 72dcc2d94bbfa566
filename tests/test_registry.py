"""Which provider owns a link is known without loading a provider, and stays the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scraper.core import link
from scraper.core.errors import UnusableLink
from scraper.core.shape import Shape
from scraper.registry import catalogue, index

ROOT = Path(__file__).parents[1]
FILM = "https://ylyyx.shdc.org.cn/code.html?appid=demo&share_id=0b6c&ctype=5"
ONE = (Shape("aurora", ("https",), (r"/s/\w+",), (r"/aurora/.*",), ("film.aurora.test", "*.lakeside.test")),)

REST = [[], "", "", False, ""]


@pytest.fixture
def rebuilt_index(tmp_path, monkeypatch):
    """A user who has never run the program, then the same user again: what was kept is what is read."""
    monkeypatch.setenv("CLOUDFILM_DATA", str(tmp_path))
    catalogue.shapes.cache_clear()
    catalogue.shapes()
    catalogue.shapes.cache_clear()
    yield tmp_path / index.NAME
    catalogue.shapes.cache_clear()


def links() -> set[str]:
    """Every address in the tests of the providers: theirs, their neighbours', and such as are nobody's."""
    texts = [path.read_text("utf-8") for path in (ROOT / "tests" / "providers").rglob("*.py")]
    texts += [provider.example for provider in catalogue.known().by_name.values()]
    return {address for text in texts for address in link.links_in(text)}


def test_the_index_gives_the_same_owner_as_the_providers(rebuilt_index, monkeypatch):
    monkeypatch.setattr(catalogue, "_load_shapes", None)  # the providers are not asked
    every = catalogue.known().by_name.values()
    assert catalogue.shapes() == tuple(provider.shape() for provider in every)
    owned = 0
    for address in links():
        try:
            share = link.parse_url(address)
        except UnusableLink:
            continue
        owner = catalogue.find(share)
        asked = [p for p in every if p.owns(share)] or [p for p in every if p.recognises(share)]
        assert (owner and type(owner.provider)) == next(iter(asked), None), address
        assert catalogue.owner_of(share) == (owner and owner.provider.name), address
        owned += owner is not None
    assert owned > len(catalogue.known().by_name)
    assert rebuilt_index.is_file()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff\xfe{"),
        lambda path: path.write_text("[" * 100_000),
        lambda path: path.write_text("[]"),
        lambda path: path.write_text(json.dumps({"key": "of another version", "shapes": []})),
        lambda path: path.write_text(
            json.dumps({**json.loads(path.read_text()), "shapes": [["x", 1, 2, 3, 4, *REST]]})
        ),
        lambda path: path.write_text(
            json.dumps({**json.loads(path.read_text()), "shapes": [["x", [], "", [5], [], *REST]]})
        ),
        lambda path: path.write_bytes(bytes(index.MAX_BYTES + 1)),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_what_can_not_be_read_is_made_anew(tmp_path, spoil):
    index.shapes(tmp_path, lambda: (ONE, True))
    spoil(tmp_path / index.NAME)
    other = (Shape("other", (), "", (), ()),)
    assert index.shapes(tmp_path, lambda: (other, True)) == other


def test_what_is_kept_is_read_and_what_may_not_last_is_not_kept(tmp_path):
    assert index.shapes(tmp_path, lambda: (ONE, False)) == ONE
    assert list(tmp_path.iterdir()) == []
    assert index.shapes(tmp_path, lambda: (ONE, True)) == ONE
    assert index.shapes(tmp_path, lambda: ((), True)) == ONE
    assert [path.name for path in tmp_path.iterdir()] == [index.NAME]


def test_a_folder_that_can_not_be_written_changes_nothing(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert index.shapes(tmp_path / "file" / "data", lambda: (ONE, True)) == ONE


def test_a_recipe_that_changed_is_asked_again(tmp_path, monkeypatch):
    import providers

    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "aurora.py").write_text("route = 1")
    monkeypatch.setattr(providers, "__path__", [str(folder)])
    index.shapes(tmp_path, lambda: (ONE, True))
    assert index.shapes(tmp_path, lambda: ((), True)) == ONE
    changed = (folder / "aurora.py").stat().st_mtime_ns
    (folder / "aurora.py").write_text("route = 2")
    os.utime(folder / "aurora.py", ns=(changed, changed))
    assert index.shapes(tmp_path, lambda: ((), True)) == ()


def test_a_plug_in_installed_later_is_asked_and_not_kept(rebuilt_index, installed_plug_in):
    before = rebuilt_index.read_bytes()
    assert catalogue.owner_of(link.parse_url("https://film.aurora.test/s/Ab12Cd34")) == "aurora"
    assert rebuilt_index.read_bytes() == before


def test_reading_a_photo_loads_no_recipe_and_no_heavy_library_and_a_link_its_own_recipe(tmp_path):
    from tests.test_cli import cloudfilm
    from tests.test_decode import saved

    photo = saved(tmp_path, FILM, name="photo.jpg")
    program = (
        "import sys; from scraper.cli.commands import run; code = run(['decode', '--json', sys.argv[1]]); "
        "heavy = {name.partition('.')[0] for name in sys.modules} & {'numpy', 'cv2', 'pydantic', 'pydicom', 'curl_cffi'}; "
        "loaded = lambda: sorted(name for name in sys.modules if name.startswith('providers.')); "
        "print(code, sorted(heavy), loaded()); "
        "from scraper.registry import catalogue; from scraper.core.link import parse_url; "
        "print(catalogue.find(parse_url(sys.argv[2])).provider.name); catalogue.refuse_page_behind_link(parse_url(sys.argv[2])); "
        "print(loaded())"
    )
    own = {"CLOUDFILM_DATA": str(tmp_path / "data"), "PYTHONPATH": str(ROOT)}
    first = cloudfilm("decode", "--json", photo, **own)  # makes the index
    assert (tmp_path / "data" / index.NAME).is_file()
    words = [sys.executable, "-c", program, photo, FILM]
    done = subprocess.run(words, env={**os.environ, **own}, capture_output=True, text=True, cwd=tmp_path)
    decoded, after_photo, owner, after_link = done.stdout.splitlines()
    assert decoded == first.stdout.strip()
    assert json.loads(decoded)["codes"][0]["provider"] == "shdc"
    assert after_photo == "0 [] []"
    assert owner == "shdc"
    assert "providers.shdc" in after_link
    assert "providers.lanwon" not in after_link
