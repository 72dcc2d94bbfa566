"""Row 6: no text of a site keeps the program busy: every expression on its pumped text, and every reader on hostile ones."""

import pytest

from scraper.authoring.redact import markup
from scraper.authoring.redact.bodies import Bodies
from scraper.authoring.redact.names import Names
from scraper.authoring.redact.phrases import Phrases
from scraper.authoring.redact.texts import Texts
from scraper.authoring.redact.vocabulary import is_field, is_on_screen
from scraper.capture.drive.login_form import _GAP
from scraper.capture.infer import templates, volatile
from scraper.capture.observe import notation
from scraper.capture.request import wado_uri
from scraper.core.html import Page, variables
from scraper.core.link import ShareLink, addresses, answers_in_text, parse
from scraper.session.browser.traffic import Exchange
from tests.security import pump

KB = 1024
UNRESOLVED = {  # expressions that only a run makes: of escaped literals, or of the constants that are tried where they stand
    "scraper.capture.infer.templates",
    "scraper.core.messages",
    "scraper.core.link",
    "scraper.protocols.multipart",
    "scraper.authoring.page_constants",
    "scraper.authoring.redact.markup",
    "scraper.cli.chinese",
    "scraper.export.deidentify",
    "scraper.send.target",
    "scraper.registry.catalogue",
    "scraper.session.browser.traffic",
    "scraper.session.browser.screen",
    "scraper.session.browser.window",
    "scraper.contract",
    "providers.toolkit.drive_page",
    "providers.hospital_portal.page",
    "providers.hospital_portal.rows",
    "providers.pacs",
}


def test_hostile_6_the_pump_finds_what_takes_long():
    for source, flags in (
        (r"(?:a+)+$", 0),
        (r"[\w.-]+@", 0),
        (r"<!--.*?-->", 16),
        (r"\s*,?\s*x", 0),
        (r"(a|aa)+$", 0),
        (r"x.*y.*z", 0),
    ):
        found = pump.FoundExpression("here", pump.re.compile(source, flags), {"search"})
        assert any(pump.takes_longer(found, text, 0.05) for text in pump.hard_texts(found.pattern, 20_000)), source


@pytest.mark.thorough
def test_hostile_6_every_expression_is_linear_on_every_pump():
    slow = [f"{found.place} {found.pattern.pattern!r} {text[:40]!r}" for found, text in pump.slow_ones(24_000, 0.4)]
    assert slow == []


@pytest.mark.thorough
def test_hostile_6_no_expression_escapes_the_search():
    found = pump.expressions()
    assert len(found) > 250
    assert {place.partition(":")[0] for place in pump.expressions.unresolved} <= UNRESOLVED


def exchange(body: str) -> Exchange:
    data = body.encode()
    return Exchange("https://a.test/list", "xhr", headers={"content-type": "text/plain"}, body=data, size=len(data))


def bodies() -> Bodies:
    return Bodies(Texts(Names()))


def times(piece: str, size: int = 80 * KB) -> str:
    return piece * (size // len(piece))


BUSY = {
    "wado": lambda: wado_uri.wado_uris([exchange("requestType=WADO " + times("a?"))], "https://a.test/"),
    "wado with marks": lambda: wado_uri.wado_uris(
        [exchange(times("a?requestType=WAD") + "requestType=WADO")], "https://a.test/"
    ),
    "wado, one long word": lambda: wado_uri.wado_uris([exchange(times("a?b&requestType=WADO"))], "https://a.test/"),
    "scripts": lambda: bodies().body(("<html>" + times("<script")).encode(), "text/html"),
    "opened scripts": lambda: bodies().body(("<html>" + times("<script>a")).encode(), "text/html"),
    "comments": lambda: bodies().body(("<html>" + times("<!-- ")).encode(), "text/html"),
    "cdata": lambda: bodies().body(("<?xml version='1.0'?><a>" + times("<![CDATA[ ")).encode(), "text/xml"),
    "styles": lambda: bodies().body(("<html>" + times("<style ")).encode(), "text/html"),
    "tags in quotes": lambda: bodies().body(("<html>" + times('<a "<a" ')).encode(), "text/html"),
    "attributes": lambda: bodies().body(("<html><a " + times("a") + ">").encode(), "text/html"),
    "ticks": lambda: bodies().body(("function " + times("`\\")).encode(), "text/javascript"),
    "comments of a program": lambda: bodies().body(("var a = 1; " + times("/*")).encode(), "text/javascript"),
    "expressions of a program": lambda: bodies().body(("var a = 1; " + times("=/[")).encode(), "text/javascript"),
    "a program's data": lambda: bodies().body(("var a = 1; " + times('={"a"')).encode(), "text/javascript"),
    "UIDs": lambda: bodies().body(times("1.2.").encode(), "text/plain"),
    "base64": lambda: bodies().body(times("QUFB", 64 * KB).encode(), "text/plain"),
    "pairs": lambda: bodies().body(times("a=").encode(), "text/plain"),
    "percents": lambda: bodies().body(("%" + times("25")).encode(), "text/plain"),
    "words of a page": lambda: bodies().body(times("患者姓名").encode() + "某".encode(), "text/plain"),
    "on screen": lambda: is_on_screen(times("患者姓名") + "某"),
    "field": lambda: is_field(times("a") + "!"),
    "markup": lambda: list(markup.tokens(times("<a '<b \"<!--<![CDATA[<script <style <!x"))),
    "known phrases": lambda: Phrases([times("某", 3 * 60), *(f"某{n}" for n in range(2000))]).replaced(
        times("某"), str
    ),
    "openings": lambda: list(notation.from_script(times("={/*"))),
    "openings with a comment": lambda: list(notation.from_script(times("={/*") + "*/")),
    "blanks": lambda: list(notation.from_script("=[" + times(" "))),
    "nested": lambda: list(notation.from_script(times("=[" + '"a",' * 9, 512 * KB))),
    "strings": lambda: [*notation.from_script(times('="[\\')), *notation.from_script(times("JSON.parse( '\\"))],
    "envelope": lambda: notation.from_envelope("42" + times("[")),
    "page": lambda: list(notation.from_html("<html>" + times("<p a='{[' b=\"[\">", 128 * KB))),
    "XML": lambda: notation.from_xml("<a>" + times("<b>") + "</a>"),
    "variables": lambda: variables(times('var a = "\\')),
    "form": lambda: Page("<form>" + times("<input name=a value=b>", 128 * KB)).form(),
    "labels": lambda: _GAP.sub("", times("名 \u3000") + times("\u3000")),
    "share text": lambda: answers_in_text("x", "密码" + times(" ") + "访问码" + times(" ")),
    "payload": lambda: addresses("https://a.test/ " + times("&a=b") + "\n:"),
    "link": lambda: parse("https://a.test/" + times("aaaaaaa1111/", 8000)).redacted,
    "long segments": lambda: (
        ShareLink("https://a.test/" + times("abcabcabcabcabcabcabcabcabcabcabcabc/", 8000)).redacted
    ),
    "requests": lambda: volatile.VolatileParts(
        [f"https://a.test/{times('a', 64 * KB)}?req{times('a', 64 * KB)}=12{n}" for n in range(3)]
    ),
    "template": lambda: templates.Template(("a", "a", "a", "b"), (("x", 0),) * 3).fits("a" + times("a")),
}


@pytest.mark.parametrize("name", BUSY)
def test_hostile_6_no_text_keeps_a_reader_busy(name):
    """80 KB take linear work a second at most; what is not linear takes many times as long."""
    with pump.processor_time(2.5):
        BUSY[name]()


def test_hostile_6_what_is_cut_by_hand_is_cut_as_before():
    page = (
        '<!DOCTYPE html><html><!-- a > b --><script type="x">if (a < b) "</p>"</SCRIPT ><style>p > a {}</style >'
        "<p class='a>b' id=c>text &lt; <b/>more < less<br /><![CDATA[ <x> ]]></p><?php x ?>"
    )
    tokens = list(markup.tokens(page))
    assert "".join(token.piece for token in tokens) == page
    assert [token.kind for token in tokens if token.kind != "text"] == [
        "declaration",
        "tag",
        "comment",
        "script",
        "style",
        "tag",
        "tag",
        "tag",
        "cdata",
        "tag",
        "declaration",
    ]
    script = next(token for token in tokens if token.kind == "script")
    assert (script.opening, script.code, script.closing) == ('<script type="x">', 'if (a < b) "</p>"', "</SCRIPT >")


def test_hostile_6_wado_addresses_are_found_as_before():
    text = (
        '{"a": "wadouri:https://a.test/wado?requestType=WADO&objectUID=1.2", b: `'
        "/wado?x=1&requesttype=WADO&o=${uid}`} ?requestType=WADO"
    )
    found = list(wado_uri._wado_in(text))
    assert found == [
        "https://a.test/wado?requestType=WADO&objectUID=1.2",
        "/wado?x=1&requesttype=WADO&o=",
        "?requestType=WADO",
    ]


@pytest.mark.parametrize(
    "address, fits",
    [
        ("a/1/b/2", True),
        ("a//b/2", False),
        ("a/1/b/", False),
        ("a/1/b/b/2", True),
        ("x/1/b/2", False),
        ("a/1/c/2", False),
    ],
)
def test_hostile_6_a_template_fits_as_before(address, fits):
    assert templates.Template(("a/", "/b/", ""), (("x", 0), ("y", 0))).fits(address) is fits


@pytest.mark.parametrize("nested", ["<div>", "<div></x>"])
def test_hostile_6_a_page_that_only_nests_is_read_in_time(nested):
    with pump.processor_time(3.0):
        assert Page(nested * 80_000).find("div")


def test_hostile_6_a_page_of_many_elements_is_read_to_its_end():
    page = Page("<ul>" + "<li>" * 5_000 + "</ul>" + "<div><p>a<br></div>" * 5_000 + "<i>end</i>")
    assert page.words("i") == "end"
