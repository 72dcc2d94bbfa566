"""Both languages say everything: no sentence is missing, and no English words stand inside a Chinese sentence."""

import ast
import json
import re
import string
from collections.abc import Iterator
from pathlib import Path

from scraper.core.errors import SiteUnreachable
from scraper.core.messages import catalogue, describe, words_of
from scraper.core.reasons import Reason
from scraper.core.settings import Language
from scraper.isolation.plain import to_plain

ROOT = Path(__file__).parent.parent
NO_WORDS = frozenset(  # names of the sites' own, and of the standard
    {
        "",
        "HTTP {}",
        "HTTP 404",
        "HTTP 507",
        "tar",
        ", ",
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
        "--set-from",
        "error",
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


def outside_of_reasons(value: ast.expr) -> Iterator[ast.AST]:
    """The parts of an expression, without what fills a reason's words."""
    waiting: list[ast.AST] = [value]
    while waiting:
        node = waiting.pop()
        yield node
        is_filled = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "of"
        if not is_filled and not isinstance(node, ast.JoinedStr):
            waiting += ast.iter_child_nodes(node)


def named() -> set[str]:
    """Whatever the code passes as ``what`` or ``why``."""
    found = set[str]()
    for path in (*ROOT.glob("scraper/**/*.py"), *ROOT.glob("providers/**/*.py")):
        source = path.read_text(encoding="utf-8")
        if not re.search(r"\b(what|why)=", source):  # to take all modules apart costs seconds
            continue
        for call in ast.walk(ast.parse(source)):
            if not isinstance(call, ast.Call):
                continue
            given = [keyword.value for keyword in call.keywords if keyword.arg in ("what", "why")]
            inside = [node for value in given for node in outside_of_reasons(value)]
            found |= {text for node in inside if isinstance(node, ast.expr) and (text := template(node))}
    return found


def test_what_an_error_names_is_a_reason_with_a_message():
    assert named() - NO_WORDS == set(), "a Reason of scraper.core.reasons says it in both languages"


def test_a_reason_is_said_in_both_languages():
    for reason in Reason:
        error = SiteUnreachable(host="film.aurora.test", why=reason)
        assert str(words_of(reason, Language.EN)) in describe(error, Language.EN)
        assert str(words_of(reason, Language.ZH)) in describe(error, Language.ZH)
        assert "reason." not in describe(error, Language.ZH)


def test_a_reason_is_filled_with_its_values_also_after_it_crossed_from_another_process():
    error = SiteUnreachable(host="film.aurora.test", why=Reason.NETWORK_ERROR.of(number=77))
    crossed = SiteUnreachable(host="film.aurora.test", why=json.loads(json.dumps(to_plain(error.values["why"]))))
    for seen in (error, crossed):
        assert "网络错误 77" in describe(seen, Language.ZH)
        assert "network error 77" in describe(seen, Language.EN)
        assert seen.reason is Reason.NETWORK_ERROR


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_say_the_same():
    entries = catalogue().items()
    assert [name for name, entry in entries if not (entry["en"] and entry["zh"])] == []
    assert [name for name, entry in entries if ("hint_en" in entry) != ("hint_zh" in entry)] == []
    assert [name for name, entry in entries if name != "ask" and fields(entry["en"]) != fields(entry["zh"])] == []
