"""What a code says is read in the script it was written in."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
import segno
from PIL import Image

from scraper.source.qr import reader as qr
from scraper.source.qr.engines import EngineResult, FoundCode
from scraper.source.qr.payload_text import as_text

CHINESE = (
    "检查号：2026-0042",
    "张三的影像 http://film.aurora.test/s/Ab12Cd34 密码1234",
    "影像号:CT20260108001 姓名:王小明 性别:男 年龄:56岁",
    "江苏省人民医院（南京医科大学第一附属医院）",
    "李玥",  # a name beyond GB 2312
    "王珺 女 45岁",
    "患者：赵堃，检查部位：头颅MRI",
    "心肺膈未见异常",
    "无异常",
    "截肢术后，巨大宿主细胞",
    "①检查②诊断 ±5mm",
)
JAPANESE = (
    "Google モバイル",
    "今度のバージョンでは文章の暗号化ができます。",
    "ﾃﾞｻﾞｲﾝQR",
    "*ﾀﾞﾌﾞﾙQR*",
    "患者：山田太郎",
    "ｲﾗｽﾄ入りｶﾗｰQRｺｰﾄﾞ",
    "検査番号：12",
)
WESTERN = ("Café Müller", "señor", "Größe 5°", "François à Paris", "10 €", "Zürich, Österreich", "«oui»", "Ångström")
ROWS = [
    *((encoding, text) for text in CHINESE for encoding in ("utf-8", "gb18030")),
    *((encoding, text) for text in JAPANESE for encoding in ("utf-8", "cp932")),
    *((encoding, text) for text in WESTERN for encoding in ("utf-8", "cp1252")),
]


def never(text: str) -> bool:
    return False


def drawn(payload: bytes) -> bytes:
    file = io.BytesIO()
    segno.make(payload, mode="byte", encoding=None, micro=False, error="m").save(file, kind="png", scale=6)
    return file.getvalue()


@pytest.mark.parametrize(("encoding", "text"), ROWS)
def test_text_in_the_script_it_was_written_in(tmp_path, encoding, text):
    path = tmp_path / "code.png"
    path.write_bytes(drawn(text.encode(encoding)))
    assert [code.text for code in qr.read(path, certain=text.__eq__).codes] == [text]


def test_what_is_no_text_is_given_byte_for_byte():
    for seed in range(40):
        payload = b"\xff\x00\x01" + random.Random(seed).randbytes(40)  # noqa: S311
        assert as_text(payload).encode("latin-1") == payload


@pytest.mark.parametrize(("encoding", "text"), [("shift_jis", "ﾌﾟﾘﾝ"), ("iso-8859-5", "Мир"), ("gb18030", "一")])
def test_an_announced_script_is_believed(tmp_path, encoding, text):
    path = tmp_path / "code.png"
    segno.make(text, eci=True, encoding=encoding, micro=False).save(str(path), scale=6)
    assert [code.text for code in qr.read(path, certain=text.__eq__).codes] == [text]


def test_a_broken_code_beside_one_in_chinese(tmp_path):
    whole, broken = (Image.open(io.BytesIO(drawn("检查号：2026".encode("gb18030")))).convert("L") for _ in range(2))
    broken.paste(255, (72, 72, 152, 152))
    sheet = Image.new("L", (whole.width * 2, whole.height), 255)
    sheet.paste(whole, (0, 0))
    sheet.paste(broken, (whole.width, 0))
    sheet.save(tmp_path / "two.png")
    reading = qr.read(tmp_path / "two.png", certain="检查号：2026".__eq__)
    assert [code.text for code in reading.codes] == ["检查号：2026"]
    assert len(reading.suspects) == 1


def test_one_code_that_two_engines_read_in_two_scripts_is_one(tmp_path):
    square, far = ((0, 0), (90, 0), (90, 90), (0, 90)), ((400, 0), (490, 0), (490, 90), (400, 90))
    search = qr._Search(never)
    search.take(1, EngineResult((FoundCode("ﾃﾞｻﾞｲﾝ QR", "QRCode", square),)))
    search.take(1, EngineResult((FoundCode("蹬靼翌QR", "QRCode", square), FoundCode("蹬靼翌QR", "QRCode", far))))
    search.take(2, EngineResult((FoundCode("蹬靼翌QR", "QRCode", square),)))
    search.take(1, EngineResult((FoundCode("蹬靼翌QR2", "QRCode", square),)))
    assert [(code.text, code.page, code.polygon) for code in search.codes.values()] == [
        ("ﾃﾞｻﾞｲﾝ QR", 1, square),
        ("蹬靼翌QR", 1, far),
        ("蹬靼翌QR", 2, square),
        ("蹬靼翌QR2", 1, square),
    ]


def test_the_other_engine_reads_the_same_words(tmp_path):
    pyzbar = pytest.importorskip("pyzbar.pyzbar", exc_type=ImportError)
    del pyzbar
    from scraper.source.qr.engines import zbar

    picture = Image.open(io.BytesIO(drawn("检查号：2026-0042".encode()))).convert("L")
    assert [item.text for item in zbar(np.asarray(picture)).found] == ["检查号：2026-0042"]
