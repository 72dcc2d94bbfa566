"""Choose the film's link among other codes, within bounded time, from every kind of file."""

from __future__ import annotations

import json
import sys
from functools import cache
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
import segno
from PIL import Image

from scraper.cli.commands import run
from scraper.core.link import parse_url
from scraper.core.settings import Settings
from scraper.registry import catalogue
from scraper.source import candidates, film_codes, resolve
from scraper.source.qr import reader as qr
from scraper.source.qr.reader import Reader
from scraper.testing import first_of

KNOWN = "https://ylyyx.shdc.org.cn/code.html?appid=demo&share_id=0b6c&ctype=5"
FILMS = {
    "listed host": KNOWN,
    "viewer": "https://yun.first-hospital.test/viewer/#/study?token=c7Qm2xVbN4",
    "short": "https://film.aurora.test/s/Ab12Cd34",
    "report": "http://203.0.113.9:8090/ReportShow.aspx?accno=CT20260107001",
    "share": "https://imaging.lakeside.test/h5/share?key=5f2b8c9d7e6a4b3c",
    "cloud film": "https://m.hospital.test/cloudFilm/index.html?patientId=0001234&checkNo=CT998877",
    "pinyin": "https://yingxiang.city.test/m/detail?id=9b3c7d",
    "letters": "https://yyx.county.test/q/?k=Zk81LmQp",
    "study UID": "https://portal.town.test/web/index.html#/open?StudyInstanceUID=1.2.840.99.1.2.3.4",
    "encrypted": "https://wx.clinic.test/pacs/mobile?data=U2FsdGVkX19Jb3pQ%2Bab%3D%3D",
    "image list": "https://mobile.harbour.test/imgshare/mobile.jsp?sn=MR20260399&sign=9f8e7d6c5b",
    "follow-up page": "https://hospital.test/wechat/report/detail?id=202601070012",
}
STRANGERS = {
    "App Store": "https://apps.apple.com/cn/app/id6449123456",
    "Android store": "https://a.app.qq.com/o/simple.jsp?pkgname=com.hospital.app",
    "app on its own host": "https://m.hospital.test/app/download?channel=report",
    "Alipay": "https://qr.alipay.com/fkx18273abcdefgh",
    "UnionPay": "https://qr.95516.com/00010001/01231234567890",
    "cashier": "https://pay.hospital.test/jiaofei/h5?orderNo=202601070099",
    "survey": "https://www.wjx.cn/vm/PqRs12T.aspx",
    "survey on its own host": "https://hospital.test/survey/f/Ab12Cd34?from=report",
    "document": "https://docs.qq.com/form/page/DRkxWbnNabc",
    "article": "https://mp.weixin.qq.com/s/AbCdEf0123456789",
    "news": "https://www.hospital.test/news/2026/0107/48813.html",
    "health commission": "https://wjw.city.gov.cn/col/col1229123456/index.html",
    "home page": "https://www.hospital.test/",
    "home page with a file": "http://www.hospital.test/index.html",
    "booking": "https://hospital.test/yuyue/index?deptId=1203&from=report",
    "booking in a mini page": "https://h5.hospital.test/#/appointment/list?hospitalId=330101",
    "WeChat follow": "http://weixin.qq.com/r/AbCdEfGhIjKl",
    "mini program": "https://mp.weixin.qq.com/a/~~AbCd~~",
    "mini program by address": "https://mini.hospital.test/miniprogram/launch?path=pages/index/index",
    "invoice": "https://fp.hospital.test/einvoice/view?code=0330019001&no=88123456",
    "insurance": "https://m.insurer.test/insurance/product?pid=99812",
    "parking": "https://parking.city.test/pay?lot=12&gate=3",
    "feedback": "https://feedback.hospital.test/f/9aB8cD7e",
    "map": "https://surl.amap.com/4Xw0JkL1mN",
    "video": "https://v.douyin.com/iRnAbC1/",
    "doctors": "https://www.hospital.test/doctor/list?dept=32",
    "laboratory": "https://lis.hospital.test/report/lab?id=3c4a29548fa91200314bd807",
    "laboratory in pinyin": "https://bg.hospital.test/jianyan/report?bc=84114441042",
    "pathology": "https://bl.hospital.test/pathology/report?no=887901847",
    "drug": "https://hospital.test/drug/trace/57568111163359079",
    "equipment": "https://sb.hospital.test/equipment?id=1f7169b32dac",
    "signature": "https://www.bjca.cn/v?code=46CVdpacNrGX8yBFpnt4",
    "WeChat pay": "wxp://f2f0AbCdEfGhIjKlMnOpQrStUvWxYz",
    "WeChat order": "weixin://wxpay/bizpayurl?pr=Ab12Cd34E",
}


def code(text: str, left: int = 0, top: int = 0, edge: int = 200) -> qr.Code:
    corners = ((left, top), (left + edge, top), (left + edge, top + edge), (left, top + edge))
    return qr.Code(text, "QRCode", corners)


@cache
def payload(text: str) -> catalogue.Payload:
    return catalogue.classify(text, "QRCode")


def chosen(*codes: qr.Code, suspects: tuple[qr.Suspect, ...] = ()) -> candidates.LinkChoice:
    return candidates.choose([(code, payload(code.text)) for code in codes], suspects)


# ---- 1: which code is the film's


@pytest.mark.parametrize("film", FILMS.values(), ids=FILMS)
def test_codes_1_no_stranger_is_taken_for_a_film(film):
    for stranger in STRANGERS.values():
        for place in ((0, 0), (600, 0), (300, -300)):
            other = code(stranger, *place, edge=300)
            for codes in ((code(film, 300), other), (other, code(film, 300))):
                assert chosen(*codes).films == (film,), stranger


@pytest.mark.parametrize("stranger", STRANGERS.values(), ids=STRANGERS)
def test_codes_1_a_stranger_alone_is_no_film(stranger):
    assert chosen(code(stranger)).films == ()
    assert not candidates.are_enough([stranger])
    assert not candidates.is_certain(stranger)


def test_codes_1_only_an_owned_link_ends_the_search():
    examples = [item.example for item in catalogue.known().by_name.values() if item.example.startswith("http")]
    assert all(map(candidates.is_certain, examples))
    assert not any(candidates.is_certain(film) for film in FILMS.values() if film != KNOWN)


def test_codes_1_a_hosts_other_pages_are_not_its_film():
    film = "https://tdcloudjp.fmmu.edu.cn/film/s?k=Ab12Cd34Ef"
    for other in ("/yuyue/index?dept=12", "/app/download?k=Ab12", "/survey/f/Ab12Cd34"):
        page = "https://tdcloudjp.fmmu.edu.cn" + other
        assert not candidates.is_certain(page)
        assert chosen(code(page), code(film, 300)).films == (film,)


def test_codes_1_two_films_are_both_films():
    two = [KNOWN, KNOWN.replace("0b6c", "77aa")]
    assert set(chosen(*map(code, two)).films) == set(two)
    shaped = [FILMS["viewer"], FILMS["share"]]
    assert set(chosen(*map(code, shaped)).films) == set(shaped)


@pytest.mark.parametrize("order", [1, -1])
def test_codes_1_what_nothing_tells_apart_is_named(order):
    two = ["https://q.one.test/m/8kQz1LmP", "https://e.two.test/c/Jk3f9QwX"][::order]
    choice = chosen(code(two[0]), code(two[1], 300))
    assert choice.films == ()
    assert set(choice.equal) == set(two)


def test_codes_1_the_paper_tips_the_scale_only_where_the_addresses_differ():
    film, other = "https://r.medcloud.test/Jk3f9Q", "https://q.one.test/m/8kQz1LmP"
    choice = chosen(code(film, edge=400), code(other, 600, edge=200))
    assert choice.films == (film,)
    assert chosen(code(other, edge=400), code(other + "x", 600, edge=200)).films == ()


def test_codes_1_a_doubtful_link_beside_an_unread_code_is_not_taken():
    opaque = code("https://q.one.test/m/8kQz1LmP")
    suspect = qr.Suspect(code("", 400).polygon)
    assert chosen(opaque).films == (opaque.text,)
    assert chosen(opaque, suspects=(suspect,)).doubtful == opaque.text
    clear = code(FILMS["short"])
    assert chosen(clear, suspects=(suspect,)).films == (clear.text,)


def drawn(text: str, module: int = 6, error: str = "m") -> Image.Image:
    rows = np.array(list(segno.make(text, micro=False, error=error).matrix_iter(border=4)), np.uint8)
    return Image.fromarray(np.kron(255 - rows * 255, np.ones((module, module), np.uint8)))


def hard(picture: Image.Image) -> Image.Image:
    """Blurred, pale and unevenly lit: no engine reads it at the first look."""
    grey = np.asarray(picture).astype(np.float32)
    soft = cv2.GaussianBlur(grey, (0, 0), 3.0) * 0.35 + 60
    slope = np.linspace(0, 90, grey.shape[1], dtype=np.float32)[None]
    return Image.fromarray(np.clip(soft + slope, 0, 255).astype(np.uint8))


def paper(folder: Path, *placed: tuple[Image.Image, tuple[int, int]]) -> Path:
    ends = [(left + picture.width, top + picture.height) for picture, (left, top) in placed]
    sheet = Image.new(
        "L", (max((x for x, _ in ends), default=400) + 60, max((y for _, y in ends), default=300) + 60), 245
    )
    for picture, place in placed:
        sheet.paste(picture, place)
    path = folder / "report.png"
    sheet.save(path)
    return path


PLACES = {"left": ((60, 420), (640, 420)), "right": ((760, 420), (60, 420)), "above": ((60, 40), (60, 460))}


@pytest.mark.parametrize(("place", "stranger"), first_of(list(product(PLACES, ("App Store", "survey", "booking"))), 2))
def test_codes_1_a_hard_film_code_beside_a_clear_stranger(tmp_path, place, stranger):
    film = FILMS["report"] if stranger == "survey" else KNOWN
    other_at, film_at = PLACES[place]
    path = paper(tmp_path, (drawn(STRANGERS[stranger]), other_at), (hard(drawn(film)), film_at))
    assert film_codes.decode(path, Settings(decode_timeout_s=60)).link == film


@pytest.mark.parametrize("language", first_of(["en", "zh"]))
def test_codes_1_equal_links_end_with_3_and_a_sentence(tmp_path, capsys, language):
    two = ["https://q.one.test/m/8kQz1LmP", "https://e.two.test/c/Jk3f9QwX"]
    path = paper(tmp_path, (drawn(two[0], 4), (60, 60)), (drawn(two[1], 4), (300, 60)))
    assert run(["decode", "--json", "--lang", language, str(path)]) == 3
    out, err = capsys.readouterr()
    line = json.loads(out)
    assert line["link"] is None
    assert {row["text"] for row in line["codes"]} == set(two)
    assert {"en": "nothing tells them apart", "zh": "无法区分"}[language] in err
    assert "8kQz1LmP" not in err


def test_codes_1_a_person_chooses_among_equal_links(tmp_path):
    two = ["https://q.one.test/m/8kQz1LmP", "https://e.two.test/c/Jk3f9QwX"]
    path = paper(tmp_path, (drawn(two[0], 4), (60, 60)), (drawn(two[1], 4), (300, 60)))
    links: list[str] = []
    asked = resolve.read(str(path), Settings(), str, lambda equal: links.extend(equal) or "2")
    assert set(links) == set(two)
    assert asked.url == links[1]
    assert resolve.read(str(path), Settings(answers={"film_link": "1"}), str).url == links[0]


def test_codes_1_links_that_open_no_film_are_named(tmp_path, capsys):
    path = paper(tmp_path, (drawn(STRANGERS["App Store"]), (60, 60)))
    assert run(["decode", "--lang", "en", str(path)]) == 3
    assert parse_url(STRANGERS["App Store"]).host in capsys.readouterr().err


# ---- 5: bounded time

SPENDS = """
import json, sys
for line in iter(sys.stdin.readline, ""):
    order = json.loads(line)
    if order.get("ask") == "glance":
        print(json.dumps({{"end": True}}), flush=True)
    if order.get("ask") != "search":
        continue
    for step in range(20):
        report = {{"page": 1, "found": [], "suspects": {suspects}, "cpu_s": step * 1.0}}
        print(json.dumps(report), flush=True)
        if not json.loads(sys.stdin.readline())["go"]:
            break
        print(step, file=open({out!r}, "a"))
    print(json.dumps({{"end": True}}), flush=True)
"""


@pytest.mark.parametrize(("suspects", "most"), [([], 3), ([[[0, 0], [40, 0], [40, 40], [0, 40]]], 9)])
def test_codes_5_a_search_ends_by_what_it_costs(tmp_path, suspects, most):
    out = tmp_path / "steps"
    program = (sys.executable, "-c", SPENDS.format(suspects=suspects, out=str(out)))
    path = paper(tmp_path)
    with Reader(program=program) as reader:
        reading = reader.read(path, certain=candidates.is_certain, enough=candidates.are_enough)
    assert reading.out_of_time
    assert most - 1 <= len(out.read_text().split()) <= most


def checkerboard(folder: Path) -> Path:
    rows, columns = np.indices((1600, 1200))
    path = folder / "board.png"
    Image.fromarray(((rows // 40 + columns // 40) % 2 * 255).astype(np.uint8)).save(path)
    return path


@pytest.mark.thorough
def test_codes_5_pages_that_mislead_are_given_up(tmp_path):
    path = checkerboard(tmp_path)
    with Reader() as reader:
        reading = reader.read(path, certain=candidates.is_certain, enough=candidates.are_enough)
        assert reader.cpu_s < 4
    assert reading.codes == ()


@pytest.mark.thorough
def test_codes_5_a_pdf_whose_codes_are_all_read_is_left(tmp_path):
    sheet = Image.new("L", (1240, 1750), 245)
    for place, text in enumerate((STRANGERS["App Store"], STRANGERS["home page"])):
        sheet.paste(drawn(text), (100 + 500 * place, 200))
    sheet.save(tmp_path / "report.pdf", resolution=150)
    with Reader() as reader:
        found = film_codes.decode(tmp_path / "report.pdf", Settings(), reader)
        assert reader.cpu_s < 4
    assert found.link is None
    assert len(found.codes) == 2
