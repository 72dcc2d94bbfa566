"""Recordings of real viewers on a real Orthanc: what they hold is what a live capture gives, and what the archive has."""

import io
import json
from functools import partial
from pathlib import Path

import pydicom
import pytest

from fixtures import dwv, ohif, orthanc
from fixtures.dicom import chest_ct
from fixtures.world import World
from scraper.cli import commands
from scraper.session.browser import find_browser
from tests.recorders import by_chromium, by_mitmproxy
from tests.test_har_sources import saved

pytestmark = [
    pytest.mark.skipif(find_browser() is None or bool(orthanc.MISSING), reason=f"no browser, or: {orthanc.MISSING}"),
    pytest.mark.thorough,
]
STUDY = chest_ct(slices=6, size=96, localizers=0, dose_report=False, seed=45)
RECORDERS = {"embedded": by_chromium, "in a zip": partial(by_chromium, name="film.zip"), "mitmproxy": by_mitmproxy}
SHAPES = {"wadouri": r"/wado\?", "wadors": r"/instances/[\d.]+$", "ohif": "/frames/"}


@pytest.fixture(scope="module")
def archive():
    with orthanc.Orthanc(options=dwv.WADO) as running:
        yield running


def recorded(world: World, recorder: str, link: str, folder: Path, protocol: str) -> Path:
    if recorder == "mitmproxy":
        pytest.importorskip("mitmproxy")
    awaited = (SHAPES[protocol], len(STUDY.instances))
    return RECORDERS[recorder](world.connect_to, link, folder, awaited=awaited, is_whole=False)


def run(capsys, *words: object) -> tuple[int, dict]:
    code = commands.run([*map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out or "{}")


@pytest.mark.skipif(bool(dwv.MISSING), reason=dwv.MISSING)
@pytest.mark.parametrize("protocol", ["wadouri", "wadors"])
@pytest.mark.parametrize("recorder", RECORDERS)
def test_dwv_in_a_recording_is_dwv_captured(archive, tmp_path, capsys, recorder, protocol):
    with World(dwv.DwvSite(archive, STUDY)) as world:
        link = f"{dwv.ADDRESS.origin}/{protocol}?study={STUDY.study_instance_uid}"
        path = recorded(world, recorder, link, tmp_path, protocol)
        asked = len(world.requests())
        code, document = run(capsys, "grab", path, "-o", tmp_path / "har")
        assert len(world.requests()) == asked
        assert code == 0, document
        live = ["grab", link, "-o", tmp_path / "live", "--provider", "universal", *world.options]
        code, document = run(capsys, *live)
        assert code == 0, document
    assert saved(tmp_path / "har") == saved(tmp_path / "live")
    assert len(saved(tmp_path / "har")) == len(STUDY.instances)


@pytest.mark.skipif(bool(ohif.MISSING), reason=ohif.MISSING)
@pytest.mark.parametrize("recorder", RECORDERS)
def test_ohif_in_a_recording_has_the_archives_pixels(archive, tmp_path, capsys, recorder):
    """It gets tags and frames apart: they are put together, and the pixels are the archive's."""
    with World(ohif.OhifSite(archive, STUDY)) as world:
        link = f"{ohif.ADDRESS.origin}/viewer?StudyInstanceUIDs={STUDY.study_instance_uid}"
        path = recorded(world, recorder, link, tmp_path, "ohif")
    code, document = run(capsys, "grab", path, "-o", tmp_path / "har")
    assert (code, document["series"][0]["origin"]) == (0, "rebuilt"), document
    found = {}
    for file in (tmp_path / "har").rglob("*.dcm"):
        data = pydicom.dcmread(file)
        found[data.SOPInstanceUID] = data.PixelData
    assert found == {
        item.sop_instance_uid: pydicom.dcmread(io.BytesIO(item.data)).PixelData for item in STUDY.instances
    }
