"""What the user gave becomes a link, or a sentence that says why not; the right code is chosen among several."""

from pathlib import Path

import pytest
import segno

from scraper.core.errors import (
    MiniProgramOnly,
    NoLink,
    NoSuchFile,
    UnreadableFile,
    UnusableLink,
    UsageError,
    WechatOnly,
)
from scraper.core.link import Kind, parse, parse_url
from scraper.core.settings import Settings
from scraper.registry import catalogue
from scraper.source import candidates, film_codes, resolve
from scraper.source.qr import reader as qr
from scraper.testing import first_of

ROOT = Path(__file__).resolve().parent.parent

SETTINGS = Settings(decode_timeout_s=8)
FILM = "https://ylyyx.shdc.org.cn/code.html?appid=demo&share_id=0b6c&ctype=5"
FOLLOW = "http://weixin.qq.com/r/AbCdEfGh"


def photo(folder: Path, *payloads: str, name: str = "photo.png") -> Path:
    from PIL import Image

    sheet = Image.new("L", (900, 520 * len(payloads)), 255)
    for place, payload in enumerate(payloads):
        path = folder / f"code{place}.png"
        segno.make(payload, error="m").save(str(path), scale=8)
        with Image.open(path) as code:
            sheet.paste(code.convert("L"), (40, 20 + 520 * place))
    sheet.save(folder / name)
    return folder / name


def nothing() -> str:
    return ""


def test_a_photo_gives_the_films_link_whatever_stands_beside_it(tmp_path):
    found = film_codes.decode(photo(tmp_path, FOLLOW, "https://hospital.test/", FILM), SETTINGS)
    assert found.link == FILM
    kinds = {code.text: meaning.kind for code, meaning in found.codes}
    assert kinds[FILM] is Kind.FILM_LINK
    assert resolve.read(str(found.path), SETTINGS, nothing).url == FILM


def test_an_unknown_link_is_better_than_none_and_a_home_page_is_not(tmp_path):
    found = film_codes.decode(
        photo(tmp_path, "https://hospital.test/", "https://film.aurora.test/s/Ab12Cd34"), SETTINGS
    )
    assert found.link == "https://film.aurora.test/s/Ab12Cd34"


@pytest.mark.parametrize(
    ("payload", "error"),
    first_of([(FOLLOW, WechatOnly), ("https://mp.weixin.qq.com/a/~~x", MiniProgramOnly), ("CT2026 张三", NoLink)]),
)
def test_codes_without_a_link_are_refused_for_what_they_are(tmp_path, payload, error):
    path = photo(tmp_path, payload)
    assert film_codes.decode(path, SETTINGS).link is None
    with pytest.raises(error):
        resolve.read(str(path), SETTINGS, nothing)


def test_a_link_in_a_text_is_the_link_and_its_password_is_kept(tmp_path):
    text = f"张三的影像 {FILM} 密码1234"
    found = film_codes.decode(photo(tmp_path, text), SETTINGS)
    assert found.link == FILM
    (code, meaning) = found.codes[0]
    assert (code.text, meaning.kind, meaning.provider) == (text, Kind.FILM_LINK, "shdc")
    share = resolve.read(str(found.path), SETTINGS, nothing)
    assert (share.url, share.answers) == (FILM, {"password": "1234"})


@pytest.mark.parametrize(
    ("texts", "chosen"),
    [
        ([f"影像 {FILM}x 密码1234", FILM], FILM),
        (["影像 http://other.test/a?b=1 安全码1234", FILM], FILM),
        (["影像 http://other.test/a?b=1", "https://film.dusk.test/s/1"], "https://film.dusk.test/s/1"),
        (["https://hospital.test/", "影像 http://other.test/a?b=1"], "http://other.test/a?b=1"),
        ([f"公众号 {FOLLOW} 影像 {FILM}", "http://other.test/a"], FILM),
        ([f"公众号 {FOLLOW}", "https://mp.weixin.qq.com/a/~~x"], None),
    ],
)
def test_a_link_in_a_text_is_never_taken_for_a_clean_one(texts, chosen):
    for order in (texts, texts[::-1]):
        codes = [(qr.Code(text, "QRCode", ()), catalogue.classify(text, "QRCode")) for text in order]
        assert candidates.choose(codes).films[:1] == ((chosen,) if chosen else ())


def test_a_wrapped_link_is_unwrapped(tmp_path):
    wrapped = "https://open.weixin.qq.com/connect/oauth2/authorize?appid=x&redirect_uri=https%3A%2F%2Ffilm.aurora.test%2Fs%2FAb12"
    assert film_codes.decode(photo(tmp_path, wrapped), SETTINGS).link == "https://film.aurora.test/s/Ab12"
    assert resolve.read(wrapped, SETTINGS, nothing).url == "https://film.aurora.test/s/Ab12"


def test_a_share_text_gives_link_and_code_from_argument_file_and_standard_input(tmp_path):
    text = f"您的影像 {FILM} 安全码：7788"
    (tmp_path / "分享.txt").write_text(text, encoding="gb18030")
    for given in (text, str(tmp_path / "分享.txt"), "-"):
        found = resolve.read(given, SETTINGS, lambda: text)
        assert (found.url, found.answers) == (FILM, {"access_code": "7788"})


@pytest.mark.parametrize("given", ["photo.jpg", "missing.pdf", "some/folder/scan.png", "nothing"])
def test_a_file_that_is_not_there(given):
    with pytest.raises(NoSuchFile):
        resolve.read(given, SETTINGS, nothing)


@pytest.mark.parametrize("given", ["没有链接的一句话", "just some words without any address"])
def test_a_text_without_a_link(given):
    with pytest.raises(NoLink):
        resolve.read(given, SETTINGS, nothing)


def test_a_text_that_is_far_too_long_for_a_file_name():
    with pytest.raises(NoLink):
        resolve.read("影像，" * 6000, SETTINGS, nothing)


def test_a_file_that_is_no_picture(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"not a picture at all" * 50)
    with pytest.raises(UnreadableFile):
        film_codes.decode(tmp_path / "photo.jpg", SETTINGS)


def test_wechats_own_address_given_as_text():
    with pytest.raises(WechatOnly):
        resolve.read(FOLLOW, SETTINGS, nothing)


def test_an_address_with_a_password_before_the_host():
    with pytest.raises(UnusableLink):
        resolve.read("https://user:secret@film.aurora.test/x", SETTINGS, nothing)


def test_every_provider_is_documented_and_unique():
    known = catalogue.known()
    assert known.broken == ()
    for provider in known.by_name.values():
        about = catalogue.about(provider)
        for line in ("title", "facts", "asks", "serves", "verified"):
            assert about[line], f"{provider.name} lacks {line!r}"
        if about["facts"].startswith("fixtures/"):
            assert (ROOT / about["facts"]).is_file(), f"{provider.name}: {about['facts']}"


def test_every_example_is_owned_by_its_provider_and_no_other():
    known = catalogue.known().by_name.values()
    with_example = [provider for provider in known if provider.example and provider.name != catalogue.UNIVERSAL]
    assert len(with_example) > 20
    for provider in with_example:
        link = parse(provider.example)
        owners = [owner.provider.name for owner in catalogue.owners(link)]
        marked = [owner.provider.name for owner in catalogue.recognised(link)]
        assert owners in ([provider.name], []), f"{provider.name}: {owners}"
        assert owners or marked == [provider.name], f"{provider.name}: {owners} {marked}"


def test_a_provider_that_nobody_knows():
    with pytest.raises(UsageError):
        catalogue.find(parse_url(FILM), "nobody")


def test_a_named_provider_reads_an_unlisted_host():
    owner = catalogue.find(parse_url("http://203.0.113.7:8088/#/home?sid=1&token=2"), "shdc")
    assert owner is not None
    assert owner.provider.name == "shdc"


def test_a_named_provider_refuses_a_link_of_another_shape():
    with pytest.raises(UnusableLink):
        catalogue.find(parse_url("https://film.aurora.test/help"), "shdc")


def test_what_is_left_out_of_an_animation_is_said(tmp_path):
    from PIL import Image

    from scraper.core.settings import Language
    from scraper.ui.tables import decoded_words

    frames = [Image.new("L", (60, 60), 3 * number) for number in range(69)]
    frames[0].save(tmp_path / "screen.gif", save_all=True, append_images=frames[1:])
    found = film_codes.decode(tmp_path / "screen.gif", SETTINGS)
    assert found.frames_left_out == 5
    assert "5 later frames" in decoded_words(found, Language.EN)
    assert film_codes.decode(photo(tmp_path, "nothing"), SETTINGS).frames_left_out == 0


def test_one_file_that_fails_does_not_end_the_others(tmp_path, capsys):
    from scraper.cli.commands import run

    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    follow = photo(tmp_path, FOLLOW, name="follow.png")
    good = photo(tmp_path, FILM)
    files = [tmp_path / "gone.png", tmp_path / "torn.png", follow, good]
    code = run(["decode", "--json", "--lang", "en", *map(str, files)])
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if FILM in line]
    assert len(out.splitlines()) == 4
    assert "gone.png" in err
    assert code == 4
