"""Addresses that start a viewer program: as a SOURCE, and behind a page's button."""

import pytest

from fixtures.sites.generic_launcher import site as launcher
from fixtures.world import World
from providers.universal import Universal
from scraper.core import link
from scraper.core.errors import UnusableLink
from scraper.core.launchers import address_in
from scraper.core.model import Via
from scraper.session.browser import find_browser
from scraper.testing import Case, check

SITE = launcher.GenericLauncher()
ALL = {series.uid: len(series.instances) for series in SITE.study.series}
needs_browser = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
MANIFEST = "https://a.test/manifest?id=1&k=2"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ('weasis://$dicom:get -w "https://a.test/manifest?id=1&k=2"', MANIFEST),
        ("weasis://%24dicom%3Aget%20-w%20%22https%3A%2F%2Fa.test%2Fmanifest%3Fid%3D1%26k%3D2%22", MANIFEST),
        ("weasis://%24dicom%3Aget+-w+https%3A%2F%2Fa.test%2Fm", "https://a.test/m"),
        ('$dicom:get -w "https://a.test/m"', "https://a.test/m"),
        (
            'weasis://$dicom:rs --url "https://a.test/dicom-web" -r "studyUID=1.2.3" $weasis:config pro="x 1"',
            "https://a.test/dicom-web/studies/1.2.3",
        ),
        ("horos://?methodName=downloadURL&URL='https%3A%2F%2Fa.test%2Fs.zip'&Display=YES", "https://a.test/s.zip"),
        ("osirix://?methodName=DownloadURL&URL=https://a.test/s.zip", "https://a.test/s.zip"),
        ("radiant://?n=zip&v=%22https%3A%2F%2Fa.test%2Fs.zip%22", "https://a.test/s.zip"),
        ("miele://?methodName=downloadURL&URL=https://a.test/s.zip", "https://a.test/s.zip"),
        ("radiant://?n=paet&v=PACS&n=pstv&v=0020000D&v=1.2.3", None),
        ("weasis://", None),
        ("https://a.test/m", None),
    ],
)
def test_the_address_within_a_launch_address(text, address):
    assert address_in(text) == address


def test_a_launch_address_is_a_link():
    assert link.parse('weasis://$dicom:get -w "https://a.test/m?k=1"').url == "https://a.test/m?k=1"
    with pytest.raises(UnusableLink):
        link.parse("radiant://?n=paet&v=PACS&n=pstv&v=0020000D&v=1.2.3")


@needs_browser
@pytest.mark.parametrize(
    "source",
    [
        launcher.WEASIS,
        pytest.param(launcher.HOROS, marks=pytest.mark.thorough),
        pytest.param(f"{launcher.ORIGIN}/l/weasis", marks=pytest.mark.thorough),
        pytest.param(f"{launcher.ORIGIN}/l/jnlp", marks=pytest.mark.thorough),
        pytest.param(f"{launcher.ORIGIN}/l/horos", marks=pytest.mark.thorough),
    ],
    ids=["weasis as a source", "horos as a source", "weasis behind a button", "jnlp", "horos behind a button"],
)
async def test_a_launcher_brings_the_study(source, tmp_path):
    with World(SITE) as world:
        await check(Universal, Case("launch", source, ways=(Via.BROWSER,), series=ALL), world, tmp_path, Via.BROWSER)
