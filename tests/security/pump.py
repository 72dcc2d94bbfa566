"""Every regular expression of the program, found mechanically, and the texts that make each of them work hardest."""

from __future__ import annotations

import ast
import importlib
import itertools
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from re import _constants as codes
from re import _parser as parser
from types import ModuleType
from typing import Any

from scraper.core.link import MAX_LINK

ROOT = Path(__file__).parents[2]
METHODS = ("search", "match", "fullmatch", "findall", "finditer", "sub", "subn", "split")
PROBES = "a0A_.-/ =\"'%\n\\{[<&:,\u4e2d*e(;x>)]}\t#\0!"  # from these one stands for a set of characters
SEARCHING = ("matching", "wait_for", "seen", "_first", "cell")  # functions of the program that are given an expression
CLASS_PATTERNS = ("saved_page", "study_list_call")


@dataclass(slots=True)
class FoundExpression:
    """One expression, where it stands, and the methods that are called on it."""

    place: str
    pattern: re.Pattern[Any]
    methods: set[str] = field(default_factory=set)


def modules() -> Iterator[tuple[ModuleType, ast.Module]]:
    """Every module of the program with its syntax tree."""
    for folder in ("scraper", "providers"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            yield importlib.import_module(name), ast.parse(path.read_text(encoding="utf-8"))


def expressions() -> list[FoundExpression]:  # noqa: C901, PLR0912  # a case for each way to give an expression
    """All of them: compiled in modules, given to functions of ``re``, and the providers' own routes."""
    found: dict[tuple[Any, int], FoundExpression] = {}
    methods: dict[int, set[str]] = {}
    unresolved: list[str] = []
    everything = list(modules())

    def add(place: str, pattern: re.Pattern[Any], *used: str) -> None:
        item = found.setdefault((pattern.pattern, pattern.flags), FoundExpression(place, pattern))
        item.methods |= set(used)

    for module, tree in everything:
        for name, value in vars(module).items():
            for inner in _patterns_in(value):
                if _is_own(inner, module):
                    add(f"{module.__name__}.{name}", inner)
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                _of_class(module, node, add)
            if isinstance(node, ast.Call) and _name_of(node.func) in SEARCHING and node.args:
                text = _value(module, node.args[0])
                if isinstance(text, str):
                    add(f"{module.__name__}:{node.lineno}", re.compile(text), "search")
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if isinstance(node.func.value, ast.Name) and node.func.value.id == "re":
                if node.func.attr in (*METHODS, "compile") and node.args:
                    pattern = _resolved(module, node)
                    if pattern is None:
                        unresolved.append(f"{module.__name__}:{node.lineno}")
                    else:
                        add(f"{module.__name__}:{node.lineno}", pattern, *({node.func.attr} & set(METHODS)))
            elif node.func.attr in METHODS:
                value = _value(module, node.func.value)
                for inner in _patterns_in(value):
                    methods.setdefault(id(inner), set()).add(node.func.attr)
    for item in found.values():
        item.methods |= methods.get(id(item.pattern), set())
    expressions.unresolved = unresolved  # type: ignore[attr-defined]
    return list(found.values())


def _name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_own(pattern: re.Pattern[Any], module: ModuleType) -> bool:
    return module.__name__.startswith(("scraper", "providers"))


def _patterns_in(value: Any, depth: int = 0) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, (tuple, list)) and depth < 3:
        for inner in value:
            yield from _patterns_in(inner, depth + 1)
    elif isinstance(value, dict) and depth < 3:
        for inner in value.values():
            yield from _patterns_in(inner, depth + 1)


def _of_class(module: ModuleType, node: ast.ClassDef, add: Any) -> None:
    owner = getattr(module, node.name, None)
    if not isinstance(owner, type) or not hasattr(owner, "route"):
        return
    for name in CLASS_PATTERNS:
        text = getattr(owner, name, "")
        if text and isinstance(text, str):
            add(f"{module.__name__}.{node.name}.{name}", re.compile(text), "search")
    for route in owner.shape().routes if hasattr(owner, "shape") else ():
        add(f"{module.__name__}.{node.name}.route", re.compile(route), "fullmatch")
    for route in owner.distinctive_routes if isinstance(getattr(owner, "distinctive_routes", None), tuple) else ():
        add(f"{module.__name__}.{node.name}.distinctive_routes", re.compile(route), "fullmatch")


def _value(module: ModuleType, node: ast.expr) -> Any:
    """What a name or an attribute of a module means; None where only a run tells."""
    try:
        return eval(compile(ast.Expression(node), "pattern", "eval"), dict(vars(module)))  # noqa: S307  # our own source
    except Exception:  # noqa: BLE001  # a local name, say
        return None


def _resolved(module: ModuleType, call: ast.Call) -> re.Pattern[Any] | None:
    text = _value(module, call.args[0])
    place = 1 if call.func.attr in ("compile",) else 3 if call.func.attr in ("sub", "subn") else 2  # type: ignore[attr-defined]
    given = call.args[place] if len(call.args) > place else None
    given = next((word.value for word in call.keywords if word.arg == "flags"), given)
    flags = (_value(module, given) or 0) if given is not None else 0
    if isinstance(text, re.Pattern):
        return text
    return re.compile(text, flags) if isinstance(text, (str, bytes)) else None


# ---- texts


def hard_texts(pattern: re.Pattern[Any], size: int, bodies_each: int = 16) -> Iterator[Any]:
    """For each repetition in the expression: what stands before it, once or again and again, and its body pumped."""
    source = pattern.pattern
    tree = parser.parse(source, pattern.flags & ~re.DEBUG)
    seen: set[str] = set()
    for before, bodies in _repeats(list(tree), ""):
        for body in bodies[:bodies_each]:
            for text in _mixed(before, body, size):
                if text not in seen:
                    seen.add(text)
                    yield text.encode("utf-8") if isinstance(source, bytes) else text


def _mixed(before: str, body: str, size: int) -> Iterator[str]:
    body = body or "a"
    times = max(1, size // len(body))
    yield before + body * times
    yield before + body * times + "\1"
    yield before + body * times + "\n\1"
    if before:
        yield (before + body) * max(1, size // len(before + body)) + "\1"
        yield before * max(1, size // len(before)) + "\1"
        half = times // 2
        yield before * max(1, size // 2 // len(before)) + body * half + "\1"
    if len(body) > 1:
        yield body[0] * size + "\1"
        yield body[-1] * size + "\1"


def _repeats(nodes: list[Any], before: str) -> Iterator[tuple[str, list[str]]]:
    for place, (code, given) in enumerate(nodes):
        if code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
            _, most, inner = given
            if most > 8:
                yield before, list(dict.fromkeys(itertools.islice(_samples(list(inner)), 16)))
            yield from _repeats(list(inner), before)
        elif code is codes.SUBPATTERN:
            yield from _repeats(list(given[3]), before)
        elif code is codes.BRANCH:
            for branch in given[1]:
                yield from _repeats(list(branch), before)
        elif code in (codes.ASSERT, codes.ASSERT_NOT):
            yield from _repeats(list(given[1]), before)
        elif code is codes.ATOMIC_GROUP:
            yield from _repeats(list(given), before)
        before += next(_samples([nodes[place]]), "")


def _samples(nodes: list[Any]) -> Iterator[str]:
    """Some texts that the nodes match, each character set by several of its characters."""
    options = [list(itertools.islice(_of_node(code, given), 6)) for code, given in nodes]
    if not options:
        yield ""
        return
    first = [option[0] if option else "" for option in options]
    yield "".join(first)
    for place, several in enumerate(options):
        for text in several[1:]:
            yield "".join([*first[:place], text, *first[place + 1 :]])


def _of_node(code: Any, given: Any) -> Iterator[str]:
    if code is codes.LITERAL:
        yield chr(given)
    elif code is codes.NOT_LITERAL:
        yield from (char for char in PROBES if ord(char) != given)
    elif code is codes.ANY:
        yield from PROBES[:6]
    elif code is codes.IN:
        yield from _of_set(given)
    elif code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
        least, _, inner = given
        for itertool in itertools.islice(_samples(list(inner)), 6):
            yield itertool * max(1, least)
    elif code is codes.SUBPATTERN:
        yield from _samples(list(given[3]))
    elif code is codes.BRANCH:
        for branch in given[1]:
            yield from itertools.islice(_samples(list(branch)), 2)
    elif code is codes.ATOMIC_GROUP:
        yield from _samples(list(given))
    elif code is codes.ASSERT and given[0] < 0:
        yield from _samples(list(given[1]))


def _of_set(items: list[Any]) -> Iterator[str]:
    tested = parser.SubPattern(parser.State(), [(codes.IN, items)])
    compiled = re.compile(_source_of(items)) if tested else None
    ranges = [chr(value[0]) for name, value in items if name is codes.RANGE]
    literals = [chr(value) for name, value in items if name is codes.LITERAL]
    for char in dict.fromkeys((*PROBES, *ranges, *literals)):
        if compiled is not None and compiled.fullmatch(char):
            yield char


def _source_of(items: list[Any]) -> str:
    out = ""
    names = {
        codes.CATEGORY_DIGIT: r"\d",
        codes.CATEGORY_NOT_DIGIT: r"\D",
        codes.CATEGORY_SPACE: r"\s",
        codes.CATEGORY_NOT_SPACE: r"\S",
        codes.CATEGORY_WORD: r"\w",
        codes.CATEGORY_NOT_WORD: r"\W",
    }
    for name, value in items:
        if name is codes.NEGATE:
            out = "^" + out
        elif name is codes.LITERAL:
            out += re.escape(chr(value))
        elif name is codes.RANGE:
            out += f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
        elif name is codes.CATEGORY:
            out += names[value]
    return f"[{out}]"


# ---- the bound


class TooLong(Exception):
    """The work took more of the processor than it may."""


@contextmanager
def processor_time(seconds: float) -> Iterator[None]:
    """End the block once it took so much of the processor; other programs' work does not count."""

    def stop(number: int, frame: Any) -> None:
        raise TooLong

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def work(found: FoundExpression, text: Any) -> None:
    """Everything that is done with the expression, on one text."""
    for method in sorted(found.methods or {"finditer"}):
        if method in ("match", "fullmatch", "search"):
            getattr(found.pattern, method)(text)
        else:
            for _ in found.pattern.finditer(text):
                pass


def takes_longer(found: FoundExpression, text: Any, seconds: float) -> bool:
    """Whether the work with the expression takes more of the processor."""
    try:
        with processor_time(seconds):
            work(found, text)
    except TooLong:
        return True
    return False


def slow_ones(size: int, seconds: float, bodies_each: int = 16) -> Iterator[tuple[FoundExpression, Any]]:
    """Expressions that some text of this length keeps busy for longer; with the text."""
    for found in expressions():
        is_of_link = found.place.endswith((".route", ".distinctive_routes"))
        longest = min(size, MAX_LINK) if is_of_link else size
        for text in hard_texts(found.pattern, longest, bodies_each):
            if takes_longer(found, text, seconds):
                yield found, text
                break
