"""Share links: found in text, taken apart, redacted, classified."""

import pytest

from scraper.core import link
from scraper.core.errors import NoLink, UnusableLink
from scraper.core.link import Kind

SHARED = "【影像分享】您的检查影像 https://film.aurora.test/t/0a1b2c3d4e5f 安全码：a1b2，7天内有效"


@pytest.mark.parametrize(
    ("text", "url", "answers"),
    [
        (SHARED, "https://film.aurora.test/t/0a1b2c3d4e5f", {"access_code": "a1b2"}),
        ("https://film.aurora.test/t/abc密码：Xy12#9", "https://film.aurora.test/t/abc", {"password": "Xy12#9"}),
        ("链接:http://192.0.2.7:8088/v?k=1 提取码 7788", "http://192.0.2.7:8088/v?k=1", {"access_code": "7788"}),
        ("打开 https://a.test/#/home?sid=1&token=0a。", "https://a.test/#/home?sid=1&token=0a", {}),
        ("http://[2001:db8::7]:8080/x", "http://[2001:db8::7]:8080/x", {}),
        ("HTTPS://A.TEST/Path", "https://a.test/Path", {}),
        ("film.aurora.test:10808/t/abc", "https://film.aurora.test:10808/t/abc", {}),
        (
            "https://a.test/m/?title=影像云-张**&r=1#T_undefined&b=2d",
            "https://a.test/m/?title=影像云-张**&r=1#T_undefined&b=2d",
            {},
        ),
        ("https://a.test/x?a=1&amp;b=2", "https://a.test/x?a=1&b=2", {}),
    ],
)
def test_finds_link_and_code_in_text(text, url, answers):
    found = link.parse(text)
    assert found.url == url
    assert found.answers == answers


@pytest.mark.parametrize("text", ["", "没有链接", "ftp://a.test/x", "javascript:alert(1)", "myweixin://dl/x"])
def test_text_without_a_link(text):
    with pytest.raises(NoLink):
        link.parse(text)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:pw@a.test/x",
        "https://",
        "http://a.test:99999/",
        "http://a.test:0/",
        "http://-/../x y",
        "http://[::1",
        "https://a.test/" + "x" * 9000,
        "file:///etc/passwd",
    ],
)
def test_refuses_what_is_no_sound_address(url):
    with pytest.raises(UnusableLink):
        link.parse_url(url)


def test_parameters_after_the_hash_belong_to_the_link():
    found = link.parse_url("https://a.test:6443/PC/?x=0#/share?pid=P%31&Signature=ab%2Bc%3D&plus=a+b")
    assert found.params == {"x": "0", "pid": "P1", "Signature": "ab+c=", "plus": "a+b"}
    assert found.port == 6443
    assert found.target.endswith("#/share?pid=P%31&Signature=ab%2Bc%3D&plus=a+b")


def test_parameters_behind_a_bare_token_in_the_fragment():
    assert link.parse_url("https://a.test/m/?r=1#TOKEN_SIGN_x&bType=2d&title=CT").params == {
        "r": "1",
        "bType": "2d",
        "title": "CT",
    }


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.test:10808/t/0a1b2c3d4e5f", "https://a.test:10808/t/…"),
        ("https://a.test/#/home?sid=1&token=0a", "https://a.test/#…"),
        ("https://a.test/Study/ViewImage?studyId=77-88", "https://a.test/Study/ViewImage?studyId=…"),
        ("https://a.test/share/abcdefghij", "https://a.test/share/…"),
        ("https://a.test/code.html?appid=demo&share_id=1", "https://a.test/code.html?appid=…&share_id=…"),
        ("https://a.test/AbC123xyz", "https://a.test/…"),
        ("https://a.test/r/A1234/accessionnumber", "https://a.test/r/…/…"),
        ("https://a.test/wcs1/mdmis-app/h5/", "https://a.test/wcs1/mdmis-app/h5/"),
    ],
)
def test_a_redacted_link_opens_nothing(url, shown):
    assert link.parse_url(url).redacted == shown


def test_no_representation_shows_the_secret():
    assert "0a1b2c3d" not in repr(link.parse(SHARED))
    assert "a1b2" not in repr(link.parse(SHARED))


@pytest.mark.parametrize(
    ("text", "symbology", "kind"),
    [
        ("http://weixin.qq.com/r/abc", "QRCode", Kind.WECHAT_FOLLOW),
        ("https://weixin.qq.com/q/02abc", "QRCode", Kind.WECHAT_FOLLOW),
        ("https://u.wechat.com/xyz", "QRCode", Kind.WECHAT_FOLLOW),
        ("https://mp.weixin.qq.com/a/~~abc", "QRCode", Kind.WECHAT_MINI_PROGRAM),
        ("weixin://dl/business/?t=x", "QRCode", Kind.WECHAT_MINI_PROGRAM),
        ("https://wxaurl.cn/abc", "QRCode", Kind.WECHAT_MINI_PROGRAM),
        ("https://servicewechat.com/wxa/0a1b2c", "QRCode", Kind.WECHAT_MINI_PROGRAM),
        ("wxp://f2f0abc", "QRCode", Kind.TEXT),
        ("weixin://wxpay/bizpayurl?pr=abc", "QRCode", Kind.TEXT),
        (
            "https://open.weixin.qq.com/connect/oauth2/authorize?redirect_uri=https%3A%2F%2Fa.test%2Fx",
            "QRCode",
            Kind.WECHAT_OAUTH,
        ),
        ("https://a.test/x", "QRCode", Kind.LINK),
        ("CT20260108001", "Code128", Kind.BARCODE),
        ("张三 CT", "QRCode", Kind.TEXT),
        ("CT20260108001", "QRCode", Kind.TEXT),
        ("张三的影像 http://a.test/x 密码1234", "QRCode", Kind.LINK),
        ("扫码关注 http://weixin.qq.com/r/abc", "QRCode", Kind.WECHAT_FOLLOW),
    ],
)
def test_kinds_of_payloads(text, symbology, kind):
    assert link.kind_of(text, symbology) is kind


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        ("https://a.test/x?y=1", ["https://a.test/x?y=1"]),
        ("  HTTPS://A.TEST/X \r\n", ["HTTPS://A.TEST/X"]),
        ("https://a.test/影像/1", ["https://a.test/影像/1"]),
        ("https://a.test/v?name=ZHANG SAN&id=1", ["https://a.test/v?name=ZHANGSAN&id=1"]),
        ("https://a.test/v\n?id=1", ["https://a.test/v?id=1"]),
        ("https://a.test/x 密码1234", ["https://a.test/x"]),
        ("https://a.test/x密码1234", ["https://a.test/x"]),
        ("https://a.test/x code 1234", ["https://a.test/x"]),
        ("https://a.test/x \r\nMEBKM:TITLE:a;URL:http\\://a.test/x;;", ["https://a.test/x"]),
        ("张三的影像 http://a.test/x?y=1 密码1234", ["http://a.test/x?y=1"]),
        ("公众号 http://weixin.qq.com/r/a，影像：https://a.test/x。", ["http://weixin.qq.com/r/a", "https://a.test/x"]),
        ("CT20260108001", []),
        ("", []),
    ],
)
def test_the_addresses_in_a_payload(payload, found):
    assert link.addresses(payload) == found


def test_the_oauth_wrapper_names_where_it_leads():
    wrapped = "https://open.weixin.qq.com/connect/oauth2/authorize?appid=1&redirect_uri=https%3A%2F%2Fa.test%2Fx%3Fy%3D1#wechat_redirect"
    assert link.unwrap_oauth(wrapped) == "https://a.test/x?y=1"
    assert link.unwrap_oauth("https://open.weixin.qq.com/connect/oauth2/authorize?redirect_uri=javascript%3A1") is None


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.1.1",
        "169.254.169.254",
        "::1",
        "fe80::1",
        "::ffff:10.0.0.1",
        "localhost",
        "pacs.local",
    ],
)
def test_private_hosts(host):
    assert link.is_private(host)


@pytest.mark.parametrize("host", ["film.aurora.test", "8.8.8.8", "2606:4700::1111", "localhost.example.com"])
def test_public_hosts(host):
    assert not link.is_private(host)
