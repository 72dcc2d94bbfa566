"""Both languages say everything: no sentence is missing, and no English words stand inside a Chinese sentence."""

import ast
import string
from pathlib import Path

from scraper.core.errors import SiteUnreachable
from scraper.core.messages import catalogue, describe, phrase
from scraper.core.settings import Language
from scraper.core.sniff import NAMES
from scraper.session.http.client import _WHY

ROOT = Path(__file__).parent.parent
NO_WORDS = frozenset(  # names of the sites' own, and of the standard
    {
        "",
        "HTTP {}",
        "HTTP 404",
        "GetShareInfo, data",
        "downloadZipImage, returnResult",
        "share/check/time, data.extend",
        "{} 0x{}",
        "{}, {}: {}",
        "JSON",
        "XML",
        "what",
        "network error ",
        "packing",
        "lost",
    }
)


def template(node: ast.expr) -> str | None:
    """A literal, or an f-string with ``{}`` for each value."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in parts)
    return None


def named() -> set[str]:
    """Whatever the code passes as ``what`` or ``why``."""
    found = {*NAMES.values(), *_WHY.values()}
    for path in (*ROOT.glob("scraper/**/*.py"), *ROOT.glob("providers/**/*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call):
                continue
            given = [keyword.value for keyword in call.keywords if keyword.arg in ("what", "why")]
            inside = [node for value in given for node in ([value] if template(value) else ast.walk(value))]
            found |= {text for node in inside if isinstance(node, ast.expr) and (text := template(node))}
    return found


def test_what_an_error_names_is_said_in_chinese_too():
    texts = sorted(named() - NO_WORDS)
    assert len(texts) > 100
    given = {text: text.format(*"ABCDEFGH"[: text.count("{}")]) for text in texts}
    assert [text for text in texts if phrase(given[text], Language.ZH) == given[text]] == [], "phrases.toml lacks these"
    assert [text for text in texts if phrase(given[text], Language.EN) != given[text]] == []


def test_a_sentence_is_of_one_language():
    error = SiteUnreachable(host="film.aurora.test", why="network error 77")
    assert "网络错误 77" in describe(error, Language.ZH)
    assert "network error 77" in describe(error, Language.EN)


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_say_the_same():
    entries = catalogue().items()
    assert [name for name, entry in entries if not (entry["en"] and entry["zh"])] == []
    assert [name for name, entry in entries if ("hint_en" in entry) != ("hint_zh" in entry)] == []
    assert [name for name, entry in entries if name != "ask" and fields(entry["en"]) != fields(entry["zh"])] == []
