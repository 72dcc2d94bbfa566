"""The only way from a site's data to Python source: checked literals, checked names, and a check of the whole module.

A provider that ``learn`` writes runs as the user's own code. Everything that a site can influence enters it through
``literal``, ``template`` or ``identifier``, and ``check_source`` holds the finished text against an allowed set of syntax
nodes, names and calls before anything imports it.
"""

from __future__ import annotations

import ast
import keyword
import math
import re
from collections.abc import Callable, Sequence
from typing import Final

MAX_LITERAL: Final = 4096  # characters; an address, a header or a key of a viewer is shorter, a body may be as long
MAX_SOURCE: Final = 256 * 1024  # characters; what is learnt of one viewer takes some 4 KB
MAX_NODES: Final = 50_000
MAX_NAME: Final = 64

CONTRACT_NAMES: Final = frozenset(
    (
        "ACCESS_CODE",
        "ACCOUNT",
        "CAPTCHA",
        "ID_LAST4",
        "ID_LAST6",
        "NAME",
        "PASSWORD",
        "PHONE",
        "PHONE_LAST4",
        "SMS_CODE",
        "TOKEN",
        "AsyncIterator",
        "Deployment",
        "Field",
        "Instance",
        "Provider",
        "Reply",
        "Series",
        "Session",
        "ShareLink",
        "WadoUri",
        "encode_query",
    )
)
_SET_IN_A_CLASS: Final = tuple(
    [name]
    for name in ("name", "route", "asks", "facts", "verified", "deployments", "hosts", "distinctive_routes", "example")
)
_CALLED_NAMES: Final = frozenset(
    ("Deployment", "Field", "Instance", "Series", "WadoUri", "encode_query", "enumerate", "len", "quoted", "tuple")
)
_CALLED_METHODS: Final = {"session": frozenset(("answer", "get", "post")), "link": frozenset(("join",))}
_KNOWN_TO_CONTRACT: Final = {"__future__": frozenset(("annotations",)), "scraper.contract": CONTRACT_NAMES}
_NODES: Final = (
    ast.Module,
    ast.Expr,
    ast.Constant,
    ast.ImportFrom,
    ast.alias,
    ast.ClassDef,
    ast.AnnAssign,
    ast.Assign,
    ast.Name,
    ast.Load,
    ast.Store,
    ast.Call,
    ast.keyword,
    ast.Attribute,
    ast.Subscript,
    ast.AsyncFunctionDef,
    ast.FunctionDef,
    ast.arguments,
    ast.arg,
    ast.Await,
    ast.For,
    ast.Tuple,
    ast.GeneratorExp,
    ast.comprehension,
    ast.JoinedStr,
    ast.FormattedValue,
    ast.Dict,
    ast.Yield,
    ast.Return,
    ast.BinOp,
    ast.Add,
    ast.UnaryOp,
    ast.USub,
)
_BUILT_IN: Final = frozenset(("enumerate", "len", "list", "str", "tuple"))
_HELPER: Final = "quoted"
_MEANT: Final = CONTRACT_NAMES | _BUILT_IN | {_HELPER}  # names that nothing else may get


class UnsafeSource(Exception):
    """Source outside of what ``learn`` writes; the message names a place or a kind, never a value."""


def literal(value: str | float | None) -> str:
    """A site's value as a Python expression of exactly this value, in double quotes where possible.

    Raises:
        UnsafeSource: too long, no finite number, or the expression would have another value.
    """
    if isinstance(value, str) and len(value) > MAX_LITERAL:
        raise UnsafeSource("a value is too long")
    if isinstance(value, float) and not math.isfinite(value):
        raise UnsafeSource("a number is not finite")
    written = repr(value)
    if isinstance(value, str) and '"' not in value and written.startswith("'"):
        written = f'"{written[1:-1]}"'
    return _meaning(written, lambda tree: ast.literal_eval(tree) == value)


def raw_literal(text: str) -> str:
    """A regular expression as a raw string where that is equivalent, else like ``literal``."""
    plain = text.isprintable() and '"' not in text and not text.endswith("\\")
    return _meaning(f'r"{text}"', lambda tree: ast.literal_eval(tree) == text) if plain else literal(text)


def template(pieces: Sequence[tuple[str, str]]) -> str:
    """An f-string of ("literal", any text) and ("value", an expression of ours) pieces.

    Raises:
        UnsafeSource: the expression would have another value.
    """
    inner = ""
    for kind, text in pieces:
        if kind == "literal":
            literal(text)
            inner += (
                text.encode("unicode_escape").decode("ascii").replace('"', '\\"').replace("{", "{{").replace("}", "}}")
            )
        else:
            inner += "{" + text + "}"
    expected = [text if kind == "literal" else None for kind, text in pieces if text]
    return _meaning(f'f"{inner}"', lambda tree: _parts(tree) == _merged(expected))


def _parts(tree: ast.expr) -> list[str | None]:
    if not isinstance(tree, ast.JoinedStr):
        return []
    return [str(part.value) if isinstance(part, ast.Constant) else None for part in tree.values]


def _merged(parts: Sequence[str | None]) -> list[str | None]:
    """The pieces with adjacent literals merged, as the parser does."""
    found: list[str | None] = []
    for part in parts:
        if part is not None and found and found[-1] is not None:
            found[-1] += part
        else:
            found.append(part)
    return found


def _meaning(written: str, is_meant: Callable[[ast.expr], bool]) -> str:
    try:
        tree = ast.parse(written, mode="eval").body
        if is_meant(tree):
            return written
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    raise UnsafeSource("a value can't be written down")


def identifier(text: str, taken: frozenset[str] = frozenset()) -> str:
    """A site's key as a Python name: ASCII letters, digits and inner underscores; a reserved word gets an underscore appended."""
    broken = re.sub(r"[^0-9A-Za-z]+", "_", text[:MAX_NAME])
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", broken).lower().strip("_")
    words = words if words and not words[0].isdigit() else f"field_{words}".rstrip("_")
    if keyword.iskeyword(words) or keyword.issoftkeyword(words) or words in taken:
        words += "_"
    return words


def class_name(text: str) -> str:
    """A site's key as the name of a class."""
    words = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", text[:MAX_NAME])
    joined = "".join(word[:1].upper() + word[1:] for word in words) or "Item"
    return joined if not joined[0].isdigit() else f"Site{joined}"


def host_words(host: str) -> str:
    """A host for a comment or docstring: letters, digits, dots, hyphens and a port; anything else becomes a question mark."""
    return re.sub(r"[^0-9A-Za-z.:\[\]-]", "?", host[:255])


# ---- the finished module


def check_source(source: str) -> None:
    """Check a written module against the allowed syntax.

    Raises:
        UnsafeSource: it contains anything else.
    """
    if len(source) > MAX_SOURCE or not all(char.isprintable() or char == "\n" for char in source):
        raise UnsafeSource("the file is too long, or holds characters that do not print")
    try:
        # from bytes: a coding line would change how the file is read
        tree = ast.parse(source.encode("utf-8"))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as err:
        raise UnsafeSource("the file is no Python source") from err
    for count, node in enumerate(ast.walk(tree)):
        if count > MAX_NODES or type(node) not in _NODES:
            raise UnsafeSource(f"{type(node).__name__} stands in the file")
        _check_node(node)
    for statement in tree.body:
        _check_statement(statement)


def _check_statement(node: ast.stmt) -> None:
    """Check one statement at module level."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return
    if isinstance(node, ast.FunctionDef) and node.name == _HELPER:
        return
    if isinstance(node, ast.ClassDef):
        bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
        if bases in (["Reply"], ["Provider"]) and len(node.bases) == 1 and node.name not in CONTRACT_NAMES:
            for inner in node.body:
                _check_member(inner, is_reply=bases == ["Reply"])
            return
    if not isinstance(node, ast.ImportFrom):
        raise UnsafeSource(f"{type(node).__name__} stands in the file")


def _check_member(node: ast.stmt, *, is_reply: bool) -> None:
    if is_reply and isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        given = node.value
        if given is not None and not (isinstance(given, ast.Call) and _called(given) == "Field"):
            raise UnsafeSource("a field with another value stands in a class")
        return
    if is_reply and isinstance(node, ast.Assign):
        names = [ast.unparse(target) for target in node.targets]
        if names == ["bare_list"] and isinstance(node.value, ast.Constant):
            return
    if not is_reply and isinstance(node, ast.Assign):
        called = {_called(inner) for inner in ast.walk(node) if isinstance(inner, ast.Call)}
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        if called <= {"Deployment"} and names in _SET_IN_A_CLASS:
            return
    if not is_reply and isinstance(node, ast.AsyncFunctionDef) and node.name == "discover":
        return
    raise UnsafeSource(f"{type(node).__name__} stands in a class")


def _check_node(node: ast.AST) -> None:
    match node:
        case ast.ImportFrom(module=module, names=names, level=level):
            known = _KNOWN_TO_CONTRACT.get(module or "", frozenset())
            if level or not all(name.name in known and name.asname is None for name in names):
                raise UnsafeSource("an import of something else stands in the file")
        case ast.Name(id=name) | ast.arg(arg=name):
            _check_name(name)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and name in _MEANT:
                raise UnsafeSource("a known name gets another meaning")
        case ast.Attribute(attr=name):
            _check_name(name)
        case ast.Call():
            if not _called(node) or any(word.arg is None for word in node.keywords):
                raise UnsafeSource("an unknown call stands in the file")
        case ast.FormattedValue(conversion=conversion, format_spec=spec):
            if conversion != -1 or spec is not None:
                raise UnsafeSource("a format stands in the file")
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            _check_definition(node)
        case _:
            pass


def _check_definition(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    _check_name(node.name)
    if node.decorator_list or (isinstance(node, ast.ClassDef) and node.keywords):
        raise UnsafeSource("a decorator stands in the file")
    if isinstance(node, ast.ClassDef):
        return
    given = node.args
    if given.defaults or given.kw_defaults or given.vararg or given.kwarg or given.posonlyargs:
        raise UnsafeSource("a function of another kind stands in the file")


def _check_name(name: str) -> None:
    if name.startswith("_") or name.endswith("__") or not name.isascii() or len(name) > 3 * MAX_NAME:
        raise UnsafeSource("a name of another kind stands in the file")


def _called(node: ast.Call) -> str:
    """The name of the known function or method that is called; empty: an unknown one."""
    match node.func:
        case ast.Name(id=name) if name in _CALLED_NAMES:
            return name
        case ast.Attribute(value=ast.Name(id=base), attr=name) if name in _CALLED_METHODS.get(base, ()):
            return name
        case ast.Attribute(value=ast.JoinedStr() | ast.Constant() | ast.Name() | ast.Attribute(), attr="encode"):
            return "encode" if not node.args and not node.keywords else ""
        case ast.Attribute(value=ast.Call(func=ast.Name(id="encode_query")), attr="partition"):
            return "partition"
        case ast.Attribute(value=ast.Call(func=ast.Attribute(attr="answer")), attr="encode"):
            return "encode" if not node.args and not node.keywords else ""
        case _:
            return ""
