"""The emulated sites themselves: they serve what the real ones would, and refuse what the real ones would refuse."""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import numpy as np
import pydicom
import pytest
from curl_cffi import CurlOpt, ffi, lib
from curl_cffi.requests import Session
from openjpeg import decode
from playwright.async_api import Page

from fixtures.faults import Fault
from fixtures.sites import Site
from fixtures.sites.hinacom import site as hinacom
from fixtures.sites.shdc import site as shdc
from fixtures.world import World
from scraper.testing import in_browser_loop
from tests.recorders import context_in

SITES = Path(__file__).parent.parent / "fixtures" / "sites"
PLATFORMS = sorted(
    path.parent.name
    for path in SITES.glob("*/site.py")
    if path.parent.name != "generic_channels"  # one page for all ways of transport, and no platform
)


class Client(Session):  # type: ignore[type-arg]
    """A plain HTTP client with a cookie jar, for which the world is where its names say."""

    def __init__(self, world: World) -> None:
        self._rows = ffi.NULL
        for row in world.connect_to:
            self._rows = lib.curl_slist_append(self._rows, row.encode())
        super().__init__(curl_options={CurlOpt.CONNECT_TO: self._rows}, verify=False, timeout=30, trust_env=False)

    def close(self) -> None:
        super().close()
        if self._rows != ffi.NULL:
            lib.curl_slist_free_all(self._rows)
        self._rows = ffi.NULL


def sites_of(platform: str) -> list[Site]:
    """One object of each of the platform's sites, as it stands without options."""
    module = importlib.import_module(f"fixtures.sites.{platform}.site")
    made = [
        item()
        for item in vars(module).values()
        if inspect.isclass(item)
        and item.__module__ == module.__name__
        and not item.__name__.startswith("_")
        and not [p for p in inspect.signature(item).parameters.values() if p.default is p.empty]
    ]
    return [item for item in made if hasattr(item, "addresses") and hasattr(item, "originals")]


# ---- every site


def test_every_site_stands_on_the_shared_base():
    builders = [
        path.relative_to(SITES).as_posix()
        for path in SITES.rglob("*.py")
        if path.name != "base.py" and "Starlette(" in path.read_text(encoding="utf-8")
    ]
    assert builders == []


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_site_knows_nothing_of_the_program(platform):
    for path in (SITES / platform).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] in ("scraper", "providers")], path


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_site_says_what_is_assumed(platform):
    text = (SITES / platform / "README.md").read_text(encoding="utf-8").lower()
    assert "assumed" in text


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_site_serves_invented_instances_and_notes_what_it_does_not_know(platform):
    assert sites_of(platform), "a class with addresses, app and originals"
    for site in sites_of(platform):
        assert site.originals
        for uid, data in site.originals.items():
            assert pydicom.dcmread(BytesIO(data), stop_before_pixels=True).SOPInstanceUID == uid
        with World(site) as world:
            client = Client(world)
            for address in site.addresses:
                assert client.get(f"{address.origin}/no/such/path/at-all.bin").status_code >= 400
            client.close()
            assert world.unexpected


def test_no_two_sites_claim_one_address():
    claimed = [
        (address.host, address.port)
        for platform in PLATFORMS
        for address in {item for site in sites_of(platform) for item in site.addresses}
    ]
    assert len(claimed) == len(set(claimed))


# ---- shdc


MINE = {"sid": "10001", "token": "0a1b2c3d"}


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def signed(call: str, key: str = shdc.KEY, **params: str) -> str:
    token = params.pop("token", "")
    query = urlencode({**params, "nonce_str": "aB3dE6", **({"token": token} if token else {})})
    return f"{shdc.ADDRESS.origin}/api001/{call}?{query}&sign={md5(f'{query}&key={key}')}"


def authorization(
    name: str, *, sid="10001", token=MINE["token"], ms: int | None = None, key=shdc.KEY
) -> dict[str, str]:
    ms = int(time.time() * 1000) if ms is None else ms
    stamp = f"{sid};{token};{ms}"
    return {"Referer": f"{shdc.ADDRESS.origin}/", "Authorization": f"Basic {stamp};{md5(f'{stamp};{name};{key}')}"}


@pytest.fixture(scope="module")
def shdc_world() -> Iterator[tuple[shdc.ShdcSite, World, Client]]:
    site = shdc.ShdcSite()
    with World(site) as world:
        client = Client(world)
        yield site, world, client
        client.close()


def test_shdc_serves_every_file_as_it_is(shdc_world):
    site, _, client = shdc_world
    listed = json.loads(client.get(signed("series/list", **MINE)).content)
    files = {}
    for series in listed["result"]:
        for name in series["names"].split(","):
            url = f"{shdc.ADDRESS.origin}/{listed['folder_pre']}/{series['source_folder']}/{name}"
            answer = client.get(url, headers=authorization(name))
            assert answer.status_code == 200
            files[str(pydicom.dcmread(BytesIO(answer.content)).SOPInstanceUID)] = answer.content
    assert files == site.originals


@pytest.mark.parametrize(
    ("url", "code"),
    [
        (signed("study/detail", key="another key", mode="0", **MINE), 1001),
        (signed("study/detail", mode="0", **MINE).replace("mode=0", "mode=1"), 1001),
        (signed("study/detail", mode="0", **MINE).partition("&sign=")[0], 1001),
        (signed("study/detail", mode="0", sid="10001", token="ffffffff"), 1004),
        (signed("study/detail", mode="0", sid="10001"), 1004),
        (signed("series/list", sid="10002", token="0a1b2c3d"), 1005),
    ],
    ids=["wrong key", "changed", "unsigned", "another token", "no token", "expired"],
)
def test_shdc_refuses_a_call(url, code, shdc_world):
    assert json.loads(shdc_world[2].get(url).content)["code"] == code


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (dict, 403),
        (lambda: {"Referer": f"{shdc.ADDRESS.origin}/"}, 401),
        (lambda: {"Authorization": authorization("01000000")["Authorization"]}, 403),
        (lambda: authorization("01000001"), 403),
        (lambda: authorization("01000000", key="another key"), 403),
        (lambda: authorization("01000000", token="ffffffff"), 403),
        (lambda: authorization("01000000", ms=1_700_000_000_000), 403),
        (lambda: authorization("01000000"), 200),
    ],
    ids=["bare", "no authorization", "no referer", "another file's", "wrong key", "another token", "old", "right"],
)
def test_shdc_refuses_an_image(headers, status, shdc_world):
    url = f"{shdc.ADDRESS.origin}/rawdata/indata/20240315/AB/1/01000000"
    assert shdc_world[2].get(url, headers=headers()).status_code == status  # signed now, not when collected


def test_shdc_wants_the_code_of_a_report(shdc_world):
    client = shdc_world[2]

    def verified(share: str, **more: str) -> dict[str, object]:
        form = {"appid": "demo", "share_id": share, **more}
        return json.loads(client.post(signed("share_verify"), data=form).content)

    share = "77777777-0000-4a6e-9c37-2f1d3c4b5a69"
    assert "安全码" in verified(share)["msg"]
    assert "错误" in verified(share, code="wrong")["msg"]
    assert verified(share, code=shdc.SECURITY_CODE)["url_link"] == shdc.VIEWER
    assert verified("00000000-dead-4a6e-9c37-2f1d3c4b5a69")["code"] == 1005


# ---- hinacom


def into_viewer(client: Client, url: str) -> tuple[str, dict[str, str]]:
    """From ``/Study/ViewImage`` to the viewer; gives its base address and its script's variables."""
    page = client.get(url).text
    entry = re.search(r"location\.href = '([^']+)'", page)
    assert entry, page
    answer = client.get(entry[1])
    target = re.search(r'TARGET_PATH = "([^"]+)"', answer.text)
    assert target, answer.text
    parts = urlsplit(entry[1])
    base = f"{parts.scheme}://{parts.netloc}"
    page = client.get(base + target[1]).text
    return base, dict(re.findall(r'(STUDY_ID|ACCESSION_NUMBER|STUDY_EXAM_UID|LOAD_IMAGE_CACHE_KEY) = "([^"]*)"', page))


def image_set(client: Client, base: str, values: dict[str, str]) -> dict[str, object]:
    asked = {
        "studyId": values["STUDY_ID"],
        "accessionNumber": values["ACCESSION_NUMBER"],
        "examuid": values["STUDY_EXAM_UID"],
        "minThickness": "5",
    }
    return client.get(f"{base}/ImageViewer/GetImageSet", params=asked).json()


@pytest.fixture
def hospital() -> Iterator[tuple[hinacom.HinacomSite, World, Client, str, dict[str, str], list[dict[str, str]]]]:
    """A client that is in the viewer already, by door C."""
    site = hinacom.HinacomSite()
    with World(site) as world:
        client = Client(world)
        base, values = into_viewer(client, hinacom.VIEW_IMAGE)
        images = [entry for item in image_set(client, base, values)["displaySets"] for entry in item["images"]]
        yield site, world, client, base, values, images
        client.close()


def image_url(base: str, one: dict[str, str], codec: str, level: int, key: str = hinacom.CACHE_KEY) -> str:
    at = f"{base}/imageservice/api/image/{codec}/{one['studyId']}/{one['imageId']}/0/{level}"
    return f"{at}?storageNodes=&ck={key}"


def test_hinacom_serves_tags_and_lossless_pixels_apart(hospital):
    site, world, client, base, _, images = hospital
    listed = {image["imageId"]: image for image in images}
    images_there = {image.sop_instance_uid for image in site.study.images}
    assert images_there < set(listed), "the dose report is listed too, and is no image"
    for uid in images_there:
        data = site.originals[uid]
        original = pydicom.dcmread(BytesIO(data))
        asked = {"studyId": listed[uid]["studyId"], "imageId": uid, "frame": "0", "storageNodes": ""}
        tags = client.get(f"{base}/ImageViewer/GetImageDicomTags", params=asked).json()
        assert {tag["tag"]: tag["value"] for tag in tags}["0008,0018"] == uid
        assert all(set(tag) == {"tag", "name", "value"} for tag in tags)
        jp2 = client.get(image_url(base, listed[uid], "j2k", 3))
        assert jp2.content[16:23] == b"ftypjp2"
        assert np.array_equal(decode(BytesIO(jp2.content)), original.pixel_array)
        raw = client.get(image_url(base, listed[uid], "dicom", 0))
        assert raw.content == original.PixelData
        assert (json.loads(raw.headers["X-ImageFrame"])["rows"]) == original.Rows
    report = next(item for uid, item in listed.items() if uid not in images_there)
    asked = {"studyId": report["studyId"], "imageId": report["imageId"], "frame": "0", "storageNodes": ""}
    assert client.get(f"{base}/ImageViewer/GetImageDicomTags", params=asked).json() == []
    assert world.unexpected == []


def test_hinacom_states_the_full_size_over_reduced_pixels(hospital):
    _, _, client, base, _, images = hospital
    answer = client.get(image_url(base, images[-2], "dicom", 1))
    header = json.loads(answer.headers["X-ImageFrame"])
    assert len(answer.content) * 4 == header["rows"] * header["columns"] * 2


def test_hinacom_refuses_what_is_not_the_viewers(hospital):
    _, world, client, base, values, images = hospital
    item = images[0]
    assert client.get(image_url(base, item, "j2k", 3, key="another")).status_code == 403
    guid = {**item, "studyId": values["STUDY_ID"]}  # the page's id in place of the images' own
    assert client.get(image_url(base, guid, "j2k", 3)).status_code == 500
    stranger = Client(world)
    assert stranger.get(image_url(base, item, "j2k", 3)).status_code == 401
    assert "<title>登录" in stranger.get(f"{base}/ImageViewer/StudyView?StudyId={hinacom.GUID}").text
    stranger.close()
    client.cookies.set("ZFPXAUTH", '"quoted"', domain="cyemis.bjcyh.mobi")
    assert client.get(image_url(base, item, "j2k", 3)).status_code == 401


def test_hinacom_lets_the_image_cookie_lapse_unless_it_is_renewed():
    with World(hinacom.HinacomSite(cac_life_s=0.0)) as world:
        client = Client(world)
        base, values = into_viewer(client, hinacom.VIEW_IMAGE)
        answer = client.get(
            f"{base}/ImageViewer/GetImageSet",
            params={"studyId": values["STUDY_ID"], "accessionNumber": "", "examuid": "", "minThickness": "5"},
        )
        assert answer.status_code == 403
        assert client.get(f"{base}/ImageViewer/renewcacauth").status_code == 200
        client.close()


def test_hinacom_wants_the_password_where_the_share_led():
    with World(hinacom.HinacomSite()) as world:
        client = Client(world)
        landed = client.get(hinacom.SHARE)
        guid = landed.url.rpartition("/")[2]
        assert guid == hinacom.SHARE_GUID
        assert "ViewImage" not in client.post(landed.url, data={"id": guid, "Password": "wrong"}).text
        with_no_cookie = Client(world)
        form = {"id": guid, "Password": hinacom.PASSWORD}
        assert "ViewImage" not in with_no_cookie.post(landed.url, data=form).text
        with_no_cookie.close()
        assert f"/Study/ViewImage?studyId={hinacom.GUID}" in client.post(landed.url, data=form).text
        assert "<form" not in client.get(hinacom.CANCELLED).text
        client.close()


def test_hinacom_wants_the_digits_before_it_lists():
    with World(hinacom.HinacomSite()) as world:
        client = Client(world)
        search = f"{hinacom.SECOND.origin}/Study/SearchStudies"
        asked = {"PageIndex": "1", "PageSize": "50", "DateFrom": "2000-01-01", "DateTo": "2030-12-31", "Keyword": ""}
        script = {"X-Requested-With": "XMLHttpRequest"}
        landed = client.get(hinacom.LIST)
        assert "checked=&quot;checked&quot;" in landed.text
        wrong = {"AuthorityType": "Mobile", "AuthorityCode": "0000", "AccountId": "77"}
        assert "fail-code" in client.post(landed.url, data=wrong).text
        assert client.post(search, data=asked, headers=script).json()["Items"] == []
        client.post(landed.url, data={**wrong, "AuthorityCode": hinacom.PHONE_LAST4})
        assert client.post(search, data=asked).json()["Items"] == []
        items = client.post(search, data=asked, headers=script).json()["Items"]
        assert hinacom.GUID in [item["Id"] for item in items]
        base, _ = into_viewer(client, f"{hinacom.SECOND.origin}/Study/ViewImage?studyId={hinacom.GUID}")
        assert base == hinacom.SECOND_VIEWER.origin
        client.close()


# ---- faults


@pytest.mark.parametrize(
    ("fault", "status"), [(Fault.ERROR, 500), (Fault.BUSY, 503), (Fault.GONE, 404), (Fault.LAPSED, 401)]
)
def test_a_fault_is_used_up(fault, status, shdc_world):
    _, world, client = shdc_world
    url = f"{shdc.ADDRESS.origin}/rawdata/indata/20240315/AB/1/01000000"
    world.faults.plan("01000000", fault)
    assert client.get(url, headers=authorization("01000000")).status_code == status
    assert client.get(url, headers=authorization("01000000")).status_code == 200


# ---- a person's browser


@asynccontextmanager
async def page_in(site: Site) -> AsyncIterator[Page]:
    """A page of a headless browser that reaches the world of ``site``."""
    with World(site) as world:
        async with context_in(world.connect_to) as context:
            page = await context.new_page()
            page.world = world
            yield page
        assert world.unexpected == []


def images_of(page: Page, path: str) -> int:
    return len({seen.path for seen in page.world.requests(path=path)})


async def until_more(page: Page, path: str, than: int) -> int:
    """Turn the wheel until the viewer asked for more images."""
    await page.mouse.move(400, 300)
    for _ in range(60):
        await page.mouse.wheel(0, 100)
        await page.evaluate("() => new Promise(done => requestAnimationFrame(done))")
        if images_of(page, path) > than:
            break
    return images_of(page, path)


@in_browser_loop
async def test_a_person_opens_a_share_and_the_viewer_loads_what_is_looked_at():
    async with page_in(hinacom.HinacomSite()) as page:
        await page.goto(hinacom.SHARE)
        await page.fill("input[name=Password]", "wrong")
        await page.press("input[name=Password]", "Enter")
        await page.get_by_text("密码错误").wait_for()
        await page.fill("input[name=Password]", hinacom.PASSWORD)
        await page.press("input[name=Password]", "Enter")
        await page.get_by_text("查看影像").click()
        async with page.expect_response(re.compile("/imageservice/")):
            await page.locator("canvas").wait_for()
        second = page.locator("nav button").nth(1)
        async with page.expect_response(re.compile("/imageservice/")):
            await second.click()
        first = images_of(page, "/imageservice/")
        assert first <= 4, "nothing is loaded that nobody looks at"
        assert await until_more(page, "/imageservice/", first) > first


@pytest.mark.thorough
@in_browser_loop
async def test_a_person_types_the_code_of_a_report():
    async with page_in(shdc.ShdcSite()) as page:
        await page.goto(shdc.REPORT_WITH_CODE)
        await page.fill("input[name=code]", shdc.SECURITY_CODE)
        async with page.expect_response(re.compile("/rawdata/indata/")):
            await page.press("input[name=code]", "Enter")
        await page.locator("canvas").wait_for()
        first = images_of(page, "/rawdata/")
        assert first <= 2, "nothing is loaded that nobody looks at"
        async with page.expect_response(re.compile("/rawdata/indata/")):
            await page.locator("nav button").nth(1).click()
        first = images_of(page, "/rawdata/")
        assert await until_more(page, "/rawdata/", first) > first


@pytest.mark.thorough
@in_browser_loop
async def test_a_person_is_told_that_a_link_has_expired():
    async with page_in(shdc.ShdcSite()) as page:
        await page.goto(shdc.EXPIRED)
        await page.get_by_text("该链接已经过期").wait_for()
        assert not await page.locator("canvas").is_visible()
