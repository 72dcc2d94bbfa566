"""A page that fetches ahead: once it is known how the rest of the study is had, it does not ask for it a second time."""

import asyncio

import pytest

from fixtures import ohif, orthanc
from fixtures.dicom import chest_ct
from fixtures.sites.generic_ahead import site as ahead
from fixtures.world import World
from providers.universal import Universal
from scraper.capture import study
from scraper.capture.surplus import shape_of
from scraper.core.errors import SiteUnreachable
from scraper.core.model import Request, Via
from scraper.session.browser import find_browser
from scraper.testing import Case, borrowed_browser, check, in_browser_loop, settings_in

WAYS = (Via.BROWSER,)
needs_browser = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
needs_ohif = pytest.mark.skipif(bool(ohif.MISSING or orthanc.MISSING), reason=ohif.MISSING or orthanc.MISSING)


@pytest.mark.parametrize(
    ("url", "other", "are_alike"),
    [
        ("https://a.test/image/im-3fa9c.dcm", "https://a.test/image/im-77b01.dcm", True),
        ("https://a.test/api/image?id=ab12&token=x1", "https://a.test/api/image?token=x1&id=cd34", True),
        ("https://a.test/api/image?id=ab12", "https://a.test/api/alive?id=ab12", False),
        ("https://a.test/rpc?do=image&n=1", "https://a.test/rpc?do=alive&n=1", False),
        ("https://a.test/i/1.dcm", "https://a.test/i/1.json", False),
        ("https://a.test/i/1.dcm", "https://b.test/i/2.dcm", False),
    ],
)
def test_requests_for_the_entries_of_a_list_are_alike(url, other, are_alike):
    assert (shape_of(url) == shape_of(other)) is are_alike


def test_requests_with_a_body_are_told_apart_by_it():
    image, other = (shape_of("https://a.test/rpc", f'{{"do":"image","id":{number}}}') for number in (7, 8))
    assert image == other != shape_of("https://a.test/rpc", '{"do":"alive","id":7}')


@needs_browser
@in_browser_loop
async def test_what_waits_reaches_no_site_and_the_rest_does(tmp_path):
    site = ahead.GenericAhead(slices=40, latency_s=0.05)
    with World(site) as world:
        async with borrowed_browser(settings_in(world, tmp_path)) as browser:
            window = await browser.window()
            await window.open(ahead.LINK)
            await window.traffic.wait_for("/image/", timeout_s=30)
            await window.requests.begin(lambda url, _: "/image/" in url)
            await _until(lambda: window.requests.waiting == ahead.AT_ONCE)
            asked, alive = dict(site.asked), site.alive
            await _until(lambda: site.alive >= alive + 3)
            assert dict(site.asked) == asked
            name = next(name for name in site.files if name not in asked)
            reply = await window.fetch(Request(f"https://{ahead.HOST}/image/{name}.dcm"))
            assert reply.body == site.files[name]
            await window.requests.end()
            assert window.requests.waiting == 0
            reply = await window.fetch(Request(f"https://{ahead.HOST}/image/{name}.dcm"))
            assert (reply.status, site.asked[name]) == (200, 2)
            with pytest.raises(SiteUnreachable):
                await window.fetch(Request("https://nowhere.invalid/"))


async def _until(claim):
    async with asyncio.timeout(60):
        while not claim():  # noqa: ASYNC110  # a count in another thread sends no event
            await asyncio.sleep(0.02)


@needs_browser
async def test_each_image_is_asked_for_once(tmp_path):
    site = ahead.GenericAhead(slices=16)
    count = len(site.originals)
    with World(site) as world:
        case = Case("ahead", ahead.LINK, ways=WAYS, series={site.study.series[0].uid: count})
        await check(Universal, case, world, tmp_path, Via.BROWSER)
    # what the page had asked for as the plan was made, and the one request that proves it
    assert count <= site.asked.total() <= count + ahead.AT_ONCE + 3


@needs_browser
@pytest.mark.thorough
@pytest.mark.parametrize("secret", ["", "s3cret"])
async def test_a_page_that_fetches_much_ahead_waits_until_it_is_known_whether_it_must(secret, tmp_path, monkeypatch):
    """Where nobody else can ask, it goes on where it was, and nothing of it was asked for in vain."""
    monkeypatch.setattr(study, "MOST_AHEAD_BYTES", 100_000)
    site = ahead.GenericAhead(slices=60, latency_s=0.05, secret=secret)
    count = len(site.originals)
    with World(site) as world:
        case = Case("ahead", ahead.LINK, ways=WAYS, series={site.study.series[0].uid: count})
        await check(Universal, case, world, tmp_path, Via.BROWSER)
    assert count <= site.asked.total() <= count + ahead.AT_ONCE + 3
    assert (
        site.refused <= 4
    )  # the page's own request repeated, as it was and with another nonce: each directly and by the page


@needs_browser
@needs_ohif
@pytest.mark.thorough
async def test_ohif_asks_for_few_frames_once_the_service_is_known(tmp_path):
    served = chest_ct(slices=120, size=64, localizers=0, dose_report=False, seed=45)
    with orthanc.Orthanc() as archive, World(ohif.OhifSite(archive, served, latency_s=0.5)) as world:
        link = f"{ohif.ADDRESS.origin}/viewer?StudyInstanceUIDs={served.study_instance_uid}"
        wanted = {series.uid: len(series.instances) for series in served.series}
        await check(Universal, Case("ohif", link, ways=WAYS, series=wanted), world, tmp_path, Via.BROWSER)
        frames = len(world.requests(path="/frames/"))
    assert 0 < frames < len(served.by_uid) / 2
