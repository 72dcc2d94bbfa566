"""Addresses of phone apps: the web address inside is used, else the app is named."""

import json

import pytest

from scraper.cli import commands
from scraper.core import apps
from scraper.core.errors import AppOnly
from scraper.core.settings import Settings
from scraper.source import resolve

FILM = "https://film.aurora.test/s/Ab12Cd34?t=1&u=2"
WRAPPED = "https%3A%2F%2Ffilm.aurora.test%2Fs%2FAb12Cd34%3Ft%3D1%26u%3D2"
IN_A_WRAP = "alipays%3A%2F%2Fplatformapi%2Fstartapp%3FappId%3D20000067%26url%3D" + WRAPPED.replace("%", "%25")


@pytest.mark.parametrize(
    "text",
    [
        f"alipays://platformapi/startapp?appId=20000067&url={WRAPPED}",
        f"ALIPAYS://platformapi/startapp?url={WRAPPED}",
        f"weixin://dl/business/?t=x&url={WRAPPED}",
        f"看影像 baiduboxapp://v1/easybrowse/open?url={WRAPPED} 谢谢",
        f"https://ds.alipay.com/?scheme={IN_A_WRAP}",
        f"https://render.alipay.com/p/s/i/?scheme={IN_A_WRAP}",
        f"dingtalk://dingtalkclient/page/link?url={WRAPPED}&pc_slide=true",
    ],
)
def test_the_web_address_inside_is_the_films(text):
    assert resolve.read(text, Settings(), str).url == FILM


@pytest.mark.parametrize(
    ("text", "app"),
    [
        ("weixin://dl/business/?t=abc", "微信"),
        ("alipays://platformapi/startapp?appId=2021", "支付宝"),
        ("wxwork://message?x=1", "企业微信"),
        ("https://qr.alipay.com/fkx12345", "支付宝"),
        ("https://ds.alipay.com/?scheme=alipays%3A%2F%2Fplatformapi%2Fstartapp%3FappId%3D2021", "支付宝"),
        ("alipays://platformapi/startapp?url=javascript%3Aalert(1)", "支付宝"),
        ("alipays://platformapi/startapp?url=file%3A%2F%2F%2Fetc%2Fpasswd", "支付宝"),
    ],
)
def test_the_app_is_named(text, app, capsys):
    with pytest.raises(AppOnly) as refused:
        resolve.read(text, Settings(), str)
    assert app in str(refused.value.values["app"])
    assert commands.run(["grab", text, "--lang", "zh", "--json"]) == 4
    shown = capsys.readouterr()
    assert app in shown.err
    assert json.loads(shown.out)["exit_code"] == 4


@pytest.mark.parametrize("text", ["myweixin://x", "https://notalipay.com/x", "hotel.alipay.com.evil.test/x", "", "://"])
def test_other_texts_are_none_of_it(text):
    assert not apps.app_in(text)
    assert apps.passed_on(text) == ("", "")


def test_a_wrapping_without_end_ends():
    text = "alipays://x?url=https%3A%2F%2Ffilm.aurora.test%2F"
    for _ in range(12):
        text = "alipays://x?u=" + text.replace("%", "%25").replace(":", "%3A").replace("?", "%3F").replace("=", "%3D")
    assert apps.address_in(text) == ""
