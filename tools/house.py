"""Rules about names and shape that ruff does not know; ``make check`` runs them.

    python -m tools.house

* Words of a dialect that the project gave up do not come back, as names or in docstrings and comments (docs/glossary.md has
  the words to use).
* A package's ``__init__`` re-exports and does nothing else.
* A field of a provider's reply is no ``str | None`` with a default: ``Reply`` gives null and absent keys the default.
* A module over ``LONGEST_MODULE`` lines, or a class of more than ``MOST_METHODS`` methods, says why.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDERS: Final = ("scraper", "providers", "fixtures", "tests", "tools")
RETIRED: Final = frozenset(
    ("told", "said", "heard", "bring", "brought", "anew", "leaf", "dear", "kept", "twice", "tie", "talk", "shelf")
)
# alone they say too little; as a part of a name they may be right (``StudyGone``)
RETIRED_NAMES: Final = frozenset(
    ("gone", "ear", "fate", "Ear", "Fate", "Abroad", "Given", "Listed", "Meaning", "Wishes")
) | {*("Seen", "Found", "Shown", "Opened", "Arrived", "Judged", "Wanted", "Spreading", "Sealed", "Paired", "Viewed")}
RETIRED_PROSE: Final = re.compile(r"\b(told|heard|brought|anew|dear|recipes?)\b", re.IGNORECASE)
RETIRED_MODULES: Final = frozenset(("words", "kept", "tie", "talk", "leaf", "fresh", "sent", "bring", "judge"))
LONGEST_MODULE: Final = 400
MOST_METHODS: Final = 20


def sources() -> Iterator[tuple[str, str]]:
    """Name and text of every Python file of ours."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def bound_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of everything that a module gives a name to; tests are named by sentences and left out."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                if not node.name.startswith("test_"):
                    yield node.lineno, node.name
            case ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr
            case ast.alias(asname=str(name)):
                yield node.lineno, name
            case _:
                pass


def words_in(name: str) -> set[str]:
    """The words of an identifier, in lower case."""
    return {word.lower() for part in name.split("_") for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", part)}


@cache
def retired_in(name: str) -> tuple[str, ...]:
    """The retired words in an identifier."""
    return tuple(sorted((words_in(name) & RETIRED) | ({name} & RETIRED_NAMES)))


def retired_names(name: str, tree: ast.Module) -> list[str]:
    """Uses of retired words as names in one file."""
    found = [
        f"{name}:{line}: {word}: a retired word in `{bound}`; see docs/glossary.md"
        for line, bound in bound_names(tree)
        for word in retired_in(bound)
    ]
    if Path(name).stem in RETIRED_MODULES:
        found.append(f"{name}:1: a module name that does not say what is inside")
    return found


def retired_prose(name: str, text: str, tree: ast.Module) -> list[str]:
    """Retired words in the docstrings and comments of one file."""
    if not RETIRED_PROSE.search(text):
        return []
    prose: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        match node:
            case (
                ast.Module(body=[ast.Expr(value=ast.Constant(value=str(words)) as first), *_])
                | ast.ClassDef(body=[ast.Expr(value=ast.Constant(value=str(words)) as first), *_])
                | ast.FunctionDef(body=[ast.Expr(value=ast.Constant(value=str(words)) as first), *_])
                | ast.AsyncFunctionDef(body=[ast.Expr(value=ast.Constant(value=str(words)) as first), *_])
            ):
                prose += enumerate(words.split("\n"), first.lineno)
            case _:
                pass
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            prose.append((token.start[0], token.string))
    return [
        f"{name}:{line}: {found[0]}: a retired word; see docs/glossary.md"
        for line, words in sorted(prose)
        for found in RETIRED_PROSE.finditer(words)
    ]


def _is_reexport(node: ast.stmt) -> bool:
    """Whether a statement of an ``__init__`` only documents, imports, or lists names."""
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.Assign(targets=[ast.Name(id=target)]):
            return target in ("__all__", "__version__")
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return all(_is_reexport(inner) for inner in node.body)
        case _:
            return False


def working_packages(name: str, tree: ast.Module) -> list[str]:
    """Statements of a package's ``__init__`` that are no re-exports."""
    if Path(name).name != "__init__.py" or name == "scraper/__init__.py":  # that one loads its names at first use
        return []
    return [
        f"{name}:{node.lineno}: a package's __init__ only re-exports" for node in tree.body if not _is_reexport(node)
    ]


def oversized(name: str, text: str, tree: ast.Module) -> list[str]:
    """Modules and classes that are too large and do not say why.

    The sentence is in the docstring and begins with "Over": "Over 400 lines because …", "Over 20 methods because …".
    """
    found = []
    if not name.startswith(("scraper/", "providers/")):
        return found
    if len(text.splitlines()) > LONGEST_MODULE and "Over 400 lines" not in (ast.get_docstring(tree) or ""):
        found.append(
            f"{name}:1: over {LONGEST_MODULE} lines; split it, or say why in its docstring (Over 400 lines because …)"
        )
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            methods = sum(isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) for item in node.body)
            if methods > MOST_METHODS and "Over 20 methods" not in (ast.get_docstring(node) or ""):
                found.append(
                    f"{name}:{node.lineno}: {methods} methods; split it, or say why (Over 20 methods because …)"
                )
    return found


def needless_nones(name: str, tree: ast.Module) -> list[str]:
    """Fields of a provider's reply that may be None although ``Reply`` gives an absent or null key its default."""
    if not name.startswith("providers/"):
        return []
    return [
        f"{name}:{field.lineno}: `{ast.unparse(field)}`: write the type without None, and an empty default"
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("Reply") for base in node.bases)
        for field in node.body
        if isinstance(field, ast.AnnAssign)
        and field.value is not None
        and re.match(r"(?:str|list|dict)\b.*\| None$|None \| (?:str|list|dict)\b", ast.unparse(field.annotation))
    ]


def is_suspect(name: str, text: str) -> bool:
    """Whether a file may break a rule, by its text alone: most can't, and need not be parsed."""
    return (
        name.endswith("__init__.py")
        or Path(name).stem in RETIRED_MODULES
        or (
            name.startswith(("scraper/", "providers/"))
            and (text.count("\n") >= LONGEST_MODULE or text.count("def ") > MOST_METHODS)
        )
        or (name.startswith("providers/") and "None" in text)
        or RETIRED_PROSE.search(text) is not None
        or any(map(retired_in, set(re.findall(r"\w+", text))))
    )


def faults() -> list[str]:
    """Every breach of a rule."""
    found = []
    for name, text in sources():
        if not is_suspect(name, text):
            continue
        tree = ast.parse(text)
        found += [*retired_names(name, tree), *retired_prose(name, text, tree)]
        found += [*oversized(name, text, tree), *working_packages(name, tree)]
        found += needless_nones(name, tree)
    return found


def main() -> int:
    """Print what breaks a rule; 1 where anything does."""
    found = faults()
    for line in found:
        print(line)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
