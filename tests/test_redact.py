"""Whatever a body is, what it tells of a person is replaced, the same way everywhere; what it is stays."""

import base64
import gzip
import io
import json
import re
import zipfile
import zlib
from datetime import date
from urllib.parse import quote

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.pixels import get_encoder

from fixtures.dicom import chest_ct
from scraper.authoring.redact import Bodies, Names, Texts, headers
from scraper.core.sniff import Kind
from scraper.dicom import codecs, codestream

NAME, PINYIN, ID_CARD, PHONE, BIRTH = ("欧阳测试", "OUYANG^CESHI", "110101199003071234", "13800138000", "19900307")
UID, STUDY = "1.2.156.112605.14038010000001.260112.3.4.5", "1.2.156.112605.14038010000001.260112"
TOKEN = "eyJ4a8Fq-ZzP0w_kR7"
SECRETS = (NAME, ID_CARD, PHONE, BIRTH, "1990-03-07", UID, STUDY, TOKEN, "OUYANG", "CESHI", "2026-01-12", "ACC0099887")


@pytest.fixture
def bodies():
    return Bodies(Texts(Names(), frozenset(("film.test",))))


def leaks(data: bytes) -> list[str]:
    return [
        secret
        for secret in SECRETS
        if secret.encode() in data or secret.encode("gb18030") in data or quote(secret).encode() in data
    ]


MANIFEST = {
    "code": 0,
    "total": 40,
    "status": "success",
    "patient": {
        "name": NAME,
        "pinyin": PINYIN,
        "idCard": ID_CARD,
        "phone": PHONE,
        "birthday": "1990-03-07",
        "sex": "M",
        "age": 36,
    },
    "study": {"uid": STUDY, "date": "2026-01-12 09:30:15", "accession": "ACC0099887", "desc": "胸部CT平扫"},
    "series": [{"uid": UID, "rows": 512, "spacing": 0.625, "images": [f"/img/{UID}.dcm?t={TOKEN}"]}],
}
PAGE = f"""<!DOCTYPE html><html><head><title>{NAME}的影像</title><script src="/static/js/app.js"></script></head>
<body onload="start('{UID}')" data-patient="{PINYIN}"><!-- {NAME} --><button class="btn">查看影像</button>
<p title="{ID_CARD}">姓名：{NAME} 1990-03-07 &#27431;&#38451;&#27979;&#35797;</p>
<script>var patientName = "{NAME}", phone = {PHONE}; window.__data = {{"name": "\\u6b27\\u9633\\u6d4b\\u8bd5", "t": "{TOKEN}"}};
if (state === "finished") document.querySelector("#box").textContent = '{NAME}'; // {PHONE}
</script></body></html>"""
XML = f"""<?xml version="1.0" encoding="UTF-8"?><Study uid="{STUDY}"><Patient id="{ID_CARD}"><Name>{NAME}</Name>
<Birth><![CDATA[1990-03-07]]></Birth></Patient><Image number="3" uid="{UID}">/img/{UID}?t={TOKEN}</Image></Study>"""


def zipped(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(f"{NAME}/list.json", data)
    return out.getvalue()


JSON = json.dumps(MANIFEST, ensure_ascii=False).encode()
CASES = {
    "json": (JSON, "application/json"),
    "escaped": (json.dumps(MANIFEST).encode(), "application/json"),
    "gb18030": (json.dumps(MANIFEST, ensure_ascii=False).encode("gb18030"), "application/json"),
    "jsonp": (b"callback(" + JSON + b");", "text/javascript"),
    "socket.io": (b"42" + json.dumps(["list", MANIFEST]).encode(), ""),
    "json in json": (json.dumps({"data": JSON.decode()}).encode(), ""),
    "base64 in json": (json.dumps({"data": base64.b64encode(JSON).decode()}).encode(), ""),
    "page": (PAGE.encode(), "text/html"),
    "xml": (XML.encode(), "text/xml"),
    "form": (
        f"name={quote(NAME)}&idCard={ID_CARD}&uid={UID}&token={TOKEN}&day=2026-01-12".encode(),
        "application/x-www-form-urlencoded",
    ),
    "script": (
        f"var DATA = {{name: '{NAME}', no: {PHONE}, card: '{ID_CARD}', t: \"{TOKEN}\"}};".encode(),
        "application/javascript",
    ),
    "sentence": (
        f"{NAME}，{BIRTH}，{PHONE} {PINYIN} {UID} {ID_CARD} {TOKEN} 2026-01-12 ACC0099887".encode(),
        "text/plain",
    ),
    "gzip": (gzip.compress(JSON), ""),
    "zlib": (zlib.compress(JSON), ""),
    "zip": (zipped(JSON), "application/zip"),
    "multipart": (
        b'--b\r\nContent-Disposition: form-data; name="patientName"\r\n\r\n' + NAME.encode() + b"\r\n--b\r\n"
        b"Content-Type: application/json\r\n\r\n" + JSON + b"\r\n--b--\r\n",
        "multipart/form-data; boundary=b",
    ),
    "binary": (bytes(range(128, 256)) * 20 + UID.encode(), "application/octet-stream"),
}


def unpacked(data: bytes) -> bytes:
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return b"".join(name.encode() + archive.read(name) for name in archive.namelist())
    for unpack in (gzip.decompress, zlib.decompress):
        try:
            return unpack(data)
        except (OSError, zlib.error):
            continue
    text = re.sub(rb"[A-Za-z0-9+/]{200,}={0,2}", lambda match: base64.b64decode(match.group() + b"=="), data)
    return text + re.sub(rb"\\u([0-9a-f]{4})", lambda match: chr(int(match[1], 16)).encode(), text)


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_told(bodies, name):
    data, content_type = CASES[name]
    assert name in ("binary", "escaped", "json in json") or leaks(unpacked(data)), "the case tells nothing itself"
    for _ in range(2):  # what one body tells of a person is known for the next
        shown = bodies.body(data, content_type)
        assert leaks(unpacked(shown)) == []
    if name not in ("zip", "gzip", "zlib", "base64 in json"):
        assert leaks(shown) == []


def test_what_it_is_stays_and_what_belongs_together_does(bodies):
    shown = json.loads(bodies.body(JSON))
    assert (shown["code"], shown["total"], shown["status"]) == (0, 40, "success")
    assert shown["series"][0]["rows"] == 512
    assert shown["series"][0]["spacing"] == 0.625
    uid = shown["series"][0]["uid"]
    assert len(uid) == len(UID)
    assert pydicom.uid.UID(uid).is_valid
    assert re.fullmatch(rf"/img/{re.escape(uid)}\.dcm\?t=[^/?&]+", shown["series"][0]["images"][0])
    assert shown["series"][0]["images"][0].partition("=")[2] in bodies.body(f"token={TOKEN}".encode()).decode()
    assert uid in bodies.body(XML.encode()).decode()
    assert quote(shown["patient"]["name"]) in bodies.body(f"name={quote(NAME)}".encode()).decode()
    page = bodies.body(PAGE.encode(), "text/html").decode()
    assert uid in page
    assert shown["patient"]["name"] in page
    assert 'class="btn">查看影像</button>' in page
    assert 'state === "finished"' in page
    assert '"#box"' in page
    days = {
        (date.fromisoformat(text) - date.fromisoformat(was)).days
        for text, was in ((shown["patient"]["birthday"], "1990-03-07"), (shown["study"]["date"][:10], "2026-01-12"))
    }
    assert len(days) == 1
    assert days != {0}


PROGRAM = (
    """const c = document.querySelector("#v1").getContext("2d"), gl = c.getContext('webgl2');
const go = n => fetch(`/api/v2x/pic?k=3h2`).then(a => decode(a, "rle8p", 'i16le', "x9"));
const own = "kq81zt"; const accept = "ACC0099887"; open("TOKEN");"""
).replace("TOKEN", TOKEN)


@pytest.mark.parametrize("before", [False, True])
def test_verdicts_d34_a_program_keeps_what_is_its_own(bodies, before):
    page = f"<html><body><canvas id=v1></canvas><script>{PROGRAM}</script></body></html>".encode()
    if before:
        bodies.body(page, "text/html")
    bodies.body(JSON)
    for data, kind in ((page, "text/html"), (PROGRAM.encode(), "text/javascript")):
        shown = bodies.body(data, kind).decode()
        for literal in ('"2d"', "'webgl2'", '"#v1"', '"rle8p"', "'i16le'", '"x9"', "/api/v2x/pic?k=3h2", '"kq81zt"'):
            assert literal in shown
        assert "ACC0099887" not in shown
        assert TOKEN not in shown


@pytest.mark.parametrize("name", ["张云", "方中和", "云和", "李影像"])
def test_a_name_is_no_label(bodies, name):
    shown = bodies.body(f"<html><p>姓名 {name}</p><b>影像报告</b></html>".encode(), "text/html").decode()
    assert name not in shown
    assert "影像报告" in shown


def test_another_bundle_has_other_replacements():
    shown = {Bodies(Texts(Names())).body(JSON) for _ in range(3)}
    assert len(shown) == 3


def test_headers_and_cookies(bodies):
    texts = bodies._texts
    given = {
        "authorization": f"Bearer {TOKEN}",
        "cookie": f"sid={TOKEN}; lang=zh",
        "set-cookie": f"sid={TOKEN}; Path=/; HttpOnly",
        "content-type": "application/json",
        "content-length": "99",
        "referer": f"https://film.test/s?uid={UID}",
        "content-disposition": f"attachment; filename*=UTF-8''{quote(NAME)}.zip",
        "x-patient-id": ID_CARD,
    }
    shown = headers(texts, given)
    assert leaks(json.dumps(shown, ensure_ascii=False).encode()) == []
    assert shown["authorization"].startswith("Bearer ")
    assert shown["authorization"][7:] == shown["cookie"].partition(";")[0].removeprefix("sid=")
    assert shown["set-cookie"].endswith("; Path=/; HttpOnly")
    assert shown["referer"].startswith("https://film.test/s?uid=2.25.")
    assert "content-length" not in shown


def test_a_dicom_object_keeps_its_form_and_geometry(bodies):
    for instance in chest_ct(slices=3, size=64, seed=3).images:
        shown = bodies.body(instance.data)
        assert len(shown) == len(instance.data)
        old, new = pydicom.dcmread(io.BytesIO(instance.data)), pydicom.dcmread(io.BytesIO(shown))
        assert [element.tag for element in old.iterall()] == [element.tag for element in new.iterall()]
        for keyword in ("ImagePositionPatient", "PixelSpacing", "InstanceNumber", "Rows", "SOPClassUID", "Modality"):
            assert old.get(keyword) == new.get(keyword)
        for keyword in (
            "PatientName",
            "PatientID",
            "SOPInstanceUID",
            "StudyInstanceUID",
            "StudyDate",
            "PatientBirthDate",
        ):
            assert not old.get(keyword) or old.get(keyword) != new.get(keyword)
        assert new.SOPInstanceUID == new.file_meta.MediaStorageSOPInstanceUID
        if "PixelData" in old:
            assert np.mean(old.pixel_array == new.pixel_array) < 0.1


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_jpeg_is_read_by_others(bits):
    samples = np.random.default_rng(bits).integers(0, 1 << min(bits, 11), (40, 56))
    made = codecs.encode_lossless(samples.astype(np.uint8 if bits == 8 else np.uint16), Kind.JPEG, bits)
    about = codestream.read(made)
    assert (about.rows, about.columns, about.bits, about.is_whole) == (40, 56, bits, True)
    assert about.transfer_syntax_uid == "1.2.840.10008.1.2.4.70"
    assert np.array_equal(imagecodecs.jpegsof3_decode(made), samples)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.80"])
def test_a_compressed_frame_becomes_another(bodies, syntax):
    samples = np.random.default_rng(1).integers(0, 4096, (64, 64)).astype(np.uint16)
    stream = get_encoder(syntax).encode(
        samples,
        rows=64,
        columns=64,
        samples_per_pixel=1,
        number_of_frames=1,
        bits_allocated=16,
        bits_stored=12,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
        planar_configuration=0,
    )
    shown = bodies.body(stream)
    assert len(shown) == len(stream)
    was, now = codestream.read(stream), codestream.read(shown)
    assert (now.rows, now.columns, now.kind) == (was.rows, was.columns, was.kind)
    assert now.bits in {was.bits, 16}  # the JPEG-LS encoder takes the container's precision
    assert shown[200:260] not in stream


def test_words_of_a_programs_addresses_stay_also_between_hyphens():
    """A path is the platform's own: a provider that is written from a bundle must find it as it is."""
    texts = Texts(Names())
    page = b"<!doctype html><script>fetch('/api/cloudfilm-mgt/v1/qx_study/index?id=' + id)</script>"
    Bodies(texts).learn_program(page, "text/html")
    assert "Wz9Kq71x" not in texts.url("https://h.test/api/cloudfilm-mgt/v1/qx_study/index?id=Wz9Kq71x")
    assert texts.url("https://h.test/api/cloudfilm-mgt/v1/qx_study/index") == (
        "https://h.test/api/cloudfilm-mgt/v1/qx_study/index"
    )
