"""Row 9 and row 1: a bundle of ``record`` that somebody made by hand, from which a provider is to be written."""

import json
import struct
import zipfile

import pytest

from scraper.authoring.platform_files import ScaffoldError, new_platform, write
from scraper.authoring.recording import BundleUnread, read_bundle
from scraper.testing.__main__ import main
from tests.security.memory import MOST, peak_of_all_processes

ENTRY = {"url": "https://film.test/s/1", "kind": "document", "status": 200, "headers": {}, "body": "bodies/000001"}
DOCUMENT = {"format": "cloudfilm-bundle", "version": 1, "link": "https://film.test/s/1", "entries": [ENTRY]}


def bundle(tmp_path, document, bodies=(("bodies/000001", b"x"),), method=zipfile.ZIP_DEFLATED):
    path = tmp_path / "bundle.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        text = document if isinstance(document, (str, bytes)) else json.dumps(document)
        archive.writestr("bundle.json", text)
        for name, data in bodies:
            archive.writestr(name, data)
    return path


DOCUMENTS = {
    "nested": "[" * 200_000,
    "a number of 10,000 digits": '{"format": ' + "9" * 10_000 + "}",
    "not an object": "[]",
    "no entries": {**DOCUMENT, "entries": None},
    "entries of another kind": {**DOCUMENT, "entries": [1, "a", None]},
    "no link": {**DOCUMENT, "link": "javascript:alert(1)"},
    "a status beyond all numbers": json.dumps(DOCUMENT).replace("200", "1e999"),
    "a time that is none": {**DOCUMENT, "entries": [{**ENTRY, "time": "x"}]},
    "headers of another kind": {**DOCUMENT, "entries": [{**ENTRY, "headers": [1]}]},
    "a body outside": {**DOCUMENT, "entries": [{**ENTRY, "body": "../../etc/passwd"}]},
    "messages of another kind": {**DOCUMENT, "entries": [{**ENTRY, "messages": [{}]}]},
    "an address that is none": {**DOCUMENT, "entries": [{**ENTRY, "url": "http://[::1"}]},
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_hostile_9_a_bundle_that_is_none_is_named_so(name, tmp_path):
    """A text nested deeply, an encrypted body or a number without end ended the program with a trace."""
    with pytest.raises(BundleUnread):
        read_bundle(bundle(tmp_path, DOCUMENTS[name]), tmp_path / "bodies")


def test_hostile_9_one_body_that_is_named_a_thousand_times_is_not_unpacked_so_often(tmp_path):
    entries = [ENTRY] * 1000
    path = bundle(tmp_path, {**DOCUMENT, "entries": entries}, [("bodies/000001", bytes(60 << 20))])
    with peak_of_all_processes() as peak, pytest.raises(BundleUnread):
        read_bundle(path, tmp_path / "bodies")
    assert peak.size < MOST


def test_hostile_9_a_bundle_of_small_lists_takes_no_memory(tmp_path):
    path = bundle(tmp_path, b'{"entries":[' + b"[],[]," * 9_000_000 + b"1]}")
    with peak_of_all_processes() as peak, pytest.raises(BundleUnread):
        read_bundle(path, tmp_path / "bodies")
    assert peak.size < MOST


def changed(path, what):
    data = bytearray(path.read_bytes())
    what(data)
    path.write_bytes(data)
    return path


def encrypted(data):
    at = data.rfind(b"PK\x01\x02")
    struct.pack_into("<H", data, at + 8, 1)
    struct.pack_into("<H", data, 6, 1)


def packed_another_way(data):
    at = data.rfind(b"PK\x01\x02")
    struct.pack_into("<H", data, at + 10, 98)  # PPMd, which Python does not unpack


def overlapping(data):
    at = data.rfind(b"PK\x01\x02")
    struct.pack_into("<I", data, at + 42, 0)


@pytest.mark.parametrize("what", [encrypted, packed_another_way, overlapping], ids=lambda what: what.__name__)
def test_hostile_9_entries_that_cannot_be_unpacked(what, tmp_path):
    with pytest.raises(BundleUnread):
        read_bundle(changed(bundle(tmp_path, DOCUMENT), what), tmp_path / "bodies")


HOSTILE = (
    "a`|</td><script>alert(1)</script>",
    "\u202eexe\x1b]52;c;aGk=\x07",
    "../../../etc/cron.d/x",
    '"""\nimport os\n"""',
    "\ud800",
    "{{7*7}}<<HOST>>",
)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
async def test_hostile_1_what_a_bundle_says_stays_text_in_every_file_that_is_written(text, tmp_path):
    url = f"https://film.test/{text}/1?{text}=1"
    entry = {**ENTRY, "url": url, "method": text, "kind": text, "headers": {"content-type": "application/json"}}
    document = {**DOCUMENT, "link": "https://film.test/s/1", "entries": [entry], "answers": {text: text}}
    path = bundle(tmp_path, document, [("bodies/000001", json.dumps({text: {text: text}}))])
    try:
        platform = await new_platform("aurora", path)
    except ScaffoldError:
        return
    root = tmp_path / "out"
    files = write(platform, root)
    assert all(file.resolve().is_relative_to(root.resolve()) for file in files)
    for file in files:
        written = file.read_text(encoding="utf-8")
        assert not set(written) & set("\x1b\x07\u202e"), file
        assert "<script>" not in written.replace("`", "")
        if file.suffix == ".py":
            compile(written, file.name, "exec")
            assert "alert(1)" not in written
            assert "import os" not in written


def test_hostile_5_the_command_writes_no_escape(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = bundle(tmp_path, {**DOCUMENT, "entries": [{**ENTRY, "body": "\x1b[2J"}]})
    assert main(["new", "aurora", "--from", str(path)]) == 2
    assert "\x1b" not in "".join(capsys.readouterr())
    assert [item.name for item in tmp_path.iterdir()] == ["bundle.zip"]
