"""Addresses copied after a share link's redirect: said for what they are, before anything is sent."""

import pytest

from scraper.core.errors import ExitCode, PageBehindLink
from scraper.core.link import parse_url
from scraper.core.messages import describe
from scraper.core.settings import BrowserUse, Language, Settings
from scraper.pipeline.run import Run
from scraper.registry.catalogue import find, known, refuse_page_behind_link
from scraper.testing import Silent, first_of, nobody

BEHIND = (
    "https://zscloud.zs-hospital.sh.cn/film/web/#/thirdParty/share/sharedStudy",
    "https://film.hospital.test/film/web/#/thirdParty/share/sharedStudy",
    "https://film.hospital.test/film/web/#/web2d?studyUid=1.2&type=sharedStudy",
    "https://zscloud.zs-hospital.sh.cn/viewer/2d/Dapeng/Viewer/Index?x=1",
    "https://demo.efilmcloud.com:8803/pages/reportmian/index",
    "https://ss.mtywcloud.com/ICCWebClient/Image/Viewer",
    "http://medapi.dsrmyy.cn:9088/sharevisit/mobile/digitalimage/index",
    "http://medapi.dsrmyy.cn:9088/oidc/login-callback.html#id_token=x",
    "http://202.100.221.200:6087/M-Viewer/#/profile",
    "http://ge.jstumor.jszlyy.com.cn:8080/CIF/film",
    "https://work.sugh.net:8002/pc/auth-viewer",
    "https://cfsaas.wegopoly.com/image/",
    "https://mic.ljjk.org.cn/NeuView/mobile/",
    "http://zhyl.nyfy.com.cn:50647/viewImage/#/image",
    "https://yyx.zy91.com:6443/PC/#/report",
    "http://cloud.wehzsy.com:9003/PC/#/report",
    "https://film.radonline.cn/web/fore-end/index.html#/check-detail-share",
    "https://yjp.jnrmyy.com/Dicom/Index",
    "https://yyx.ftimage.cn/dimage/index.html",
    "https://zlyy.tjmucih.cn/yunyingxiang/",
    "https://dicomviewer.demo.kayicloud.com/?HospitalCode=H1",
    "https://www.kayicloud.com/Viewer/s#/view",
)


@pytest.mark.parametrize("address", first_of(BEHIND, 3))
async def test_verdicts_17_the_page_behind_a_link_is_called_so(address, tmp_path):
    async with Run(Settings(output=tmp_path, browser=BrowserUse.NEVER), Silent(), nobody) as run:
        result = await run.grab(address)
    assert type(result.error) is PageBehindLink
    assert result.exit_code == ExitCode.UNUSABLE_LINK
    words = describe(result.error, Language.EN)
    assert "page behind a share link" in words
    assert "Share" in words
    assert "scan" in words
    assert "belongs to a WeChat" not in words
    assert "分享" in describe(result.error, Language.ZH)


def test_verdicts_17_every_example_of_a_platform_has_an_owner():
    examples = [item.example for item in known().by_name.values() if item.example and item.is_web()]
    assert len(examples) > 20
    assert [example for example in examples if find(parse_url(example)) is None] == []


@pytest.mark.parametrize(
    "address",
    [
        "https://uicloud.com/film/#/AbC123",
        "https://zscloud.zs-hospital.sh.cn/film/#/shared?code=AbC123xyz",
        "https://film.hospital.test/viewer/index.html?key=AbC123",
        "https://film.hospital.test/viewer/s",
        "https://film.hospital.test/",
    ],
)
def test_verdicts_17_a_link_is_none(address):
    link = parse_url(address)
    if find(link) is None:
        refuse_page_behind_link(link)
