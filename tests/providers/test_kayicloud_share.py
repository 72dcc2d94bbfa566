"""卡易 shares: a password in four boxes, sleeping series, signatures that lapse, and the same server under another name."""

import http.client
import ssl
from urllib.parse import parse_qsl, urlencode

import pytest

from fixtures.sites.kayicloud_share.site import (
    CANCELLED,
    EXPIRED,
    FREE,
    HOST,
    IMAGES,
    OPEN,
    PASSWORD,
    SHORT_LIVED,
    KayicloudShareSite,
    b64,
)
from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.world import World, hosts
from providers.kayicloud_share.provider import KayicloudShare
from providers.universal import Universal
from scraper.contract import CredentialsRefused, CredentialsRequired, LinkExpired, NoSuchStudy, ShareCancelled
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.testing import Case, check, check_listing, first_of, rows

SITE = KayicloudShareSite()
SERIES = {item.uid: len(item.instances) for item in SITE.study.series}
BROWSER = (Via.BROWSER,)
KNOWN = {"password": PASSWORD}
CASES = (
    Case("opens", SITE.link(OPEN), KNOWN, SERIES, thorough=BROWSER),
    Case("opens with what the text calls an access code", SITE.link(OPEN), {"access_code": PASSWORD}, SERIES),
    Case("has no password", SITE.link(FREE), series=SERIES),
    Case("signatures lapse on the way", SITE.link(SHORT_LIVED), KNOWN, SERIES),
    Case("another name", SITE.other_link(), series=SERIES, thorough=BROWSER),
    Case("an old link carries its own signature", SITE.old_link(), series=SERIES),
    Case("asks for the password", SITE.link(OPEN), raises=CredentialsRequired, thorough=BROWSER),
    Case(
        "a wrong password",
        SITE.link(OPEN),
        {"password": "9999"},
        raises=CredentialsRefused,
        says="分享密码错误",
        thorough=BROWSER,
    ),
    Case("expired", SITE.link(EXPIRED), KNOWN, raises=LinkExpired, says="分享已过期", thorough=BROWSER),
    Case("expired, nothing given", SITE.link(EXPIRED), raises=LinkExpired, says="分享已过期"),
    Case("cancelled", SITE.link(CANCELLED), KNOWN, raises=ShareCancelled, says="分享已被取消"),
    Case("unknown", SITE.link(OPEN[::-1]), KNOWN, raises=NoSuchStudy, says="分享不存在"),
)
NOT_OURS = ("https://www.kayicloud.com/", "https://www.kayicloud.com/Viewer/s", "https://pacs.demo.test/viewer/s#/help")


@pytest.fixture
def world():
    SITE.woken.clear()
    SITE.generation, SITE.left, SITE.unlisted = 0, 4, 0
    with World(SITE) as up:
        yield up


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, world, tmp_path):
    await check(KayicloudShare, case, world, tmp_path, via)
    assert not world.unexpected


MANNERS = (
    Case("one field", SITE.link(OPEN), KNOWN, SERIES, thorough=BROWSER),
    Case("no field", SITE.link(FREE), series=SERIES, thorough=BROWSER),
    Case("another name", SITE.other_link(), series=SERIES),
    Case("wrong", SITE.link(OPEN), {"password": "9999"}, raises=CredentialsRefused, says="密码错误", thorough=BROWSER),
    Case("expired", SITE.link(EXPIRED), raises=LinkExpired, says="分享已过期", thorough=BROWSER),
)


@pytest.mark.parametrize(("case", "via"), rows(MANNERS), ids=str)
async def test_a_page_of_other_manners(case, via, tmp_path):
    site = KayicloudShareSite(has_other_manners=True)
    with World(site) as up:
        await check(KayicloudShare, case, up, tmp_path, via)
        if case.raises is CredentialsRefused:
            asked = [request for request in up.requests(path="GetShareInfo") if "password=9999" in request.query]
            assert len(asked) == 1


UNDESCRIBED = (
    Case("no password", SITE.link(FREE), series=SERIES),
    Case("an old link", SITE.old_link(), series=SERIES),
    Case("another name", SITE.other_link(), series=SERIES),
    Case("a password that nobody gives", SITE.link(OPEN), raises=CredentialsRequired),
    Case("cancelled", SITE.link(CANCELLED), raises=ShareCancelled, says="分享已被取消"),
)


@pytest.mark.parametrize("case", first_of(UNDESCRIBED), ids=str)
async def test_the_page_without_its_provider(case, world, tmp_path):
    await check(Universal, case, world, tmp_path, Via.BROWSER)


async def test_an_image_that_is_counted_and_not_listed_is_missing(world, tmp_path):
    SITE.unlisted = 1
    row = Case("counted", SITE.other_link(), series=SERIES, lacks="missing-instances")
    await check(KayicloudShare, row, world, tmp_path)


async def test_verdicts_9_what_the_signature_covers_carries_its_values(world, tmp_path):
    await check(KayicloudShare, CASES[0], world, tmp_path, Via.DIRECT)
    for path in ("GetImage", "GetDicomSeriesInfo"):
        for request in world.requests(path=path):
            query = dict(parse_qsl(request.query, keep_blank_values=True))
            assert all(query[name] for name in ("vendorCode", "studyuid", "seriesuid", "imageUid"))


@pytest.mark.parametrize("name", ["vendorCode", "studyuid", "seriesuid", "imageUid"])
def test_verdicts_9_the_emulation_refuses_an_empty_value(name):
    site = KayicloudShareSite()
    series, image = site.study.series[0], site.study.series[0].instances[0]
    site.woken.add(series.uid)
    query = {
        "imageObjKey": b64(f"2026/01/测试/{image.sop_instance_uid}.dcm"),
        "vendorCode": "kayi",
        "patId": b64("P+1"),
        "expires": "1790000000",
        "signature": site._signed(image.sop_instance_uid, 0),
        "studyuid": site.study.study_instance_uid,
        "seriesuid": series.uid,
        "imageUid": image.sop_instance_uid,
        "imageid": "0",
        "lossless": "1",
        "iq": "100",
    }
    with World(site) as world:
        port = hosts(world.connect_to)[f"{HOST}:{IMAGES}"]
        statuses = []
        for sent in (query, query | {name: ""}):
            unproven = ssl._create_unverified_context()  # noqa: S323  # the world's own authority
            connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=unproven)
            connection.request("GET", f"/imageserver/dicomData/GetImage?{urlencode(sent)}", headers={"Host": HOST})
            statuses.append(connection.getresponse().status)
            connection.close()
    assert statuses == [200, 403]


async def test_a_refused_password_is_sent_once(world, tmp_path):
    await check(KayicloudShare, CASES[7], world, tmp_path, Via.DIRECT)
    assert len(world.requests(path="GetShareInfo")) == 1


@pytest.mark.parametrize("link", NOT_OURS)
def test_not_ours(link):
    assert KayicloudShare.owns(parse_url(link)) is None
    assert KayicloudShare.recognises(parse_url(link)) is None


@pytest.mark.parametrize("shape", first_of(SHAPES))
@pytest.mark.parametrize("case", first_of(CASES), ids=str)
async def test_the_same_by_another_hand(case, shape, tmp_path):
    SITE.woken.clear()
    SITE.generation, SITE.left = 0, 4
    with World(Reshaped(SITE, SHAPES[shape])) as world:
        await check_listing(KayicloudShare, case, world, tmp_path)
