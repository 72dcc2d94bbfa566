"""A recorded bundle tells nothing of a person, and shows the viewer again."""

import base64
import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Iterator

import pytest
from pydicom import dcmread

from fixtures.replay import Replay
from fixtures.sites.generic_viewer.site import HOST, PASSWORD, TOKEN, GenericViewer, _sign
from fixtures.world import World
from scraper.authoring import record
from scraper.core.errors import LinkExpired
from scraper.core.model import Status
from scraper.core.settings import BrowserUse
from scraper.session.browser import find_browser
from scraper.testing import in_pipeline, settings_in
from tests import lists

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
SITE, LISTS = GenericViewer(slices=8, thin=5), lists.Lists()
LINKS = {
    "signed addresses": (f"https://{HOST}/v/signed", SITE, {}),
    "a form": (f"https://{HOST}/v/login", SITE, {"password": PASSWORD}),
    "DICOMweb": (f"https://{HOST}/v/dicomweb", SITE, {}),
    "WebSocket messages": (f"https://{HOST}/v/socket", SITE, {}),
    "ranges": (f"https://{HOST}/v/ranges", SITE, {}),
    "a package": (f"https://{HOST}/v/package", SITE, {}),
    "a chain of calls": (f"https://{lists.HOST}/chain?code={lists.CODE}", LISTS, {}),
    "a password and a ticket": (f"https://{lists.HOST}/login/{lists.CODE}", LISTS, {"password": lists.PASSWORD}),
}


@pytest.fixture(scope="module")
def world():
    with World(SITE, LISTS) as running:
        yield running


def everything(data: bytes, depth: int = 0) -> Iterator[bytes]:
    """A body, and what is packed in it, however."""
    yield data
    if depth > 4:
        return
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                yield info.filename.encode()
                yield from everything(archive.read(info), depth + 1)
    for unpack in (gzip.decompress, zlib.decompress):
        try:
            yield from everything(unpack(data), depth + 1)
        except (OSError, EOFError, zlib.error):
            continue
    try:
        value = json.loads(data)
    except ValueError:
        return
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, (dict, list)):
            waiting += [*item.keys(), *item.values()] if isinstance(item, dict) else item
        elif isinstance(item, str) and len(item) >= 16:
            try:
                yield from everything(base64.b64decode(item, validate=True), depth + 1)
            except ValueError:
                continue


def secrets_of(site: GenericViewer) -> set[bytes]:
    """What must not be found: UIDs, names, numbers, dates, texts, tokens, pixels."""
    found = {PASSWORD.encode(), TOKEN.encode(), _sign("all").encode(), *(secret.encode() for secret in LISTS.secrets)}
    for data in {
        **site.originals,
        **LISTS.originals,
        **{uid: instance.data for uid, instance in site.prior.by_uid.items()},
    }.values():
        ds = dcmread(io.BytesIO(data))
        found |= {
            str(ds.SOPInstanceUID).encode(),
            str(ds.SeriesInstanceUID).encode(),
            str(ds.StudyInstanceUID).encode(),
        }
        for name in (
            "PatientName",
            "PatientID",
            "PatientBirthDate",
            "StudyDate",
            "AccessionNumber",
            "StudyDescription",
            "SeriesDescription",
            "InstitutionName",
            "StudyTime",
        ):
            text = str(ds.get(name, ""))
            found |= {text.encode(), text.encode("gb18030", "ignore")} if len(text) > 2 else set()
        pixels = bytes(ds.PixelData)
        found |= {pixels[at : at + 64] for at in range(0, len(pixels) - 64, 512) if len(set(pixels[at : at + 64])) > 8}
        found.add(_sign(str(ds.SOPInstanceUID)).encode())
    return {item for item in found if len(item) > 2}


SECRETS = secrets_of(SITE)


ROWS = [pytest.param(name, marks=[] if name == "DICOMweb" else [pytest.mark.thorough]) for name in LINKS]


@pytest.mark.parametrize("name", ROWS)
async def test_recorded_and_shown_again(name, world, tmp_path):
    link, site, answers = LINKS[name]
    path = tmp_path / "bundle.zip"
    chosen = settings_in(world, tmp_path, answers=answers, keep_programs=True)
    recorded = await in_pipeline(chosen, lambda pipeline: record.record_link(pipeline, link, path))
    assert recorded.error is None
    assert recorded.values > 10
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            for data in everything(archive.read(member)):
                leaked = [secret for secret in SECRETS if secret in data]
                assert not leaked, f"{member} tells {leaked[:3]}"
    replay = Replay(path)
    with World(replay) as again:
        chosen = settings_in(
            again, tmp_path / "out", provider="universal", browser=BrowserUse.ALWAYS, answers=dict(replay.answers)
        )
        result = await in_pipeline(chosen, lambda pipeline: pipeline.grab(replay.link))
    assert result.status is Status.COMPLETE, (result, again.unexpected)
    assert result.counts.saved == len(site.study.by_uid)


async def test_a_viewer_that_is_not_understood_is_recorded_too(world, tmp_path):
    chosen, link = settings_in(world, tmp_path, keep_programs=True), f"https://{HOST}/v/expired"
    recorded = await in_pipeline(chosen, lambda pipeline: record.record_link(pipeline, link, tmp_path / "bundle.zip"))
    assert isinstance(recorded.error, LinkExpired)
    assert json.loads(zipfile.ZipFile(tmp_path / "bundle.zip").read("bundle.json"))["error"] == "link-expired"
