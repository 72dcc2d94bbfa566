"""The text constants of a provider's modules (keys, salts, addresses), and how other values are put in their place.

A constant is an upper-case name of a module of the provider's own, or of a product that it uses by the module's name; a
call counts by its path, the provider's ``entry`` too. A product's module is copied for the provider first, so that
another provider of the same product keeps its own values.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from scraper.contract import Provider

Value = str | bytes
_Place = tuple[ModuleType | type, str, Value]

MOST_CHARACTERS: Final = 256  # of one value
_PRODUCTS: Final = "providers.products."
_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]*")
_PATH: Final = re.compile(r"/(?!/)[\w./-]+")
_TEXT: Final = re.compile(r"[!-~]+")  # no spaces, no control characters: nothing that ends a header
_PATTERN: Final = re.compile(r"\(\?|\[\^|\\[dwsDWS.]|\.[*+]")
_found: dict[str, Sequence[_Place]] = {}


def constants(provider: type[Provider]) -> Mapping[str, Value]:
    """The constants as the program has them, by name; ``module.NAME`` where two modules use one name."""
    found: dict[str, Value] = {}
    places = _places(provider)
    for module, name, value in places:
        others = {held for _, other, held in places if other == name}
        found.setdefault(name if len(others) == 1 else f"{module.__name__.rpartition('.')[2]}.{name}", value)
    return found


def program(provider: type[Provider]) -> str:
    """The text of the modules that hold the constants."""
    files = {module.__file__ for module, *_ in _places(provider) if isinstance(module, ModuleType) and module.__file__}
    return "\n".join(Path(file).read_text(encoding="utf-8") for file in sorted(files))


def fits(old: Value, new: Value) -> bool:
    """Whether a value may replace the other: bytes of the same length, a path for a path, a word for a word.

    What names a host, and what is a regular expression, is never replaced.
    """
    if isinstance(old, bytes) or isinstance(new, bytes):
        return isinstance(old, bytes) and isinstance(new, bytes) and len(old) == len(new)
    if "://" in old or _PATTERN.search(
        old
    ):  # an address says which host is asked; a pattern may be made to take for ever
        return False
    if len(new) > MOST_CHARACTERS or not _TEXT.fullmatch(new) or "://" in new or new.startswith("//"):
        return False
    return is_path(old) == is_path(new)


def is_path(value: Value) -> bool:
    """Whether it is the path of an address."""
    return isinstance(value, str) and _PATH.fullmatch(value) is not None


def put(provider: type[Provider], values: Mapping[str, Value]) -> None:
    """Let these constants have these values, and all others the program's own."""
    mine = constants(provider)
    wanted = {**mine, **values}
    for module, name, value in _places(provider):
        label = name if name in mine else f"{module.__name__.rpartition('.')[2]}.{name}"
        if wanted[label] != _value_of(held := getattr(module, name)):
            setattr(module, name, wanted[label] if isinstance(held, (str, bytes)) else held.at(wanted[label]))
        assert type(wanted[label]) is type(value)  # noqa: S101  # ``fits`` was asked before


@contextmanager
def tried(provider: type[Provider], values: Mapping[str, Value], usual: Mapping[str, Value]) -> Iterator[None]:
    """Use ``values`` for a while; afterwards ``usual``."""
    put(provider, values)
    try:
        yield
    finally:
        put(provider, usual)


def _places(provider: type[Provider]) -> Sequence[_Place]:
    """Every module and name that holds a constant, with the program's own value: as found the first time."""
    key = f"{provider.__module__}:{provider.__qualname__}"
    return _found.get(key) or _found.setdefault(key, _look(provider))


def _look(provider: type[Provider]) -> Sequence[_Place]:
    from scraper import contract  # loads pydantic, which the reading of a photo does without

    found: list[tuple[ModuleType | type, str, object]] = [(provider, "entry", provider.entry)]
    for module in _modules(provider):
        found += [(module, name, held) for name, held in vars(module).items() if _NAME.fullmatch(name)]
    return tuple(
        (holder, name, value)
        for holder, name, held in found
        if getattr(contract, name, None) is not held and 0 < len(value := _value_of(held)) <= MOST_CHARACTERS
    )


def _value_of(held: object) -> Value:
    """The text of a constant; of a call its path; nothing of anything else."""
    from scraper.contract import Call

    if isinstance(held, Call):
        return held.path
    return held if isinstance(held, (str, bytes)) and type(held) in (str, bytes) else ""


def _modules(provider: type[Provider]) -> list[ModuleType]:
    """The provider's own modules, and its own copies of the products' modules that they refer to."""
    own, dot, last = provider.__module__.rpartition(".")
    package = f"{own}{dot}" if last == "provider" else ""
    names = [name for name in sys.modules if name == provider.__module__ or (package and name.startswith(package))]
    found = [sys.modules[name] for name in sorted(names)]
    copies: dict[str, ModuleType] = {}
    for module in found.copy():
        for name, value in list(vars(module).items()):
            if isinstance(value, ModuleType) and value.__name__.startswith(_PRODUCTS):
                copy = copies.setdefault(value.__name__, _copy(value))
                setattr(module, name, copy)
    return found + list(copies.values())


def _copy(module: ModuleType) -> ModuleType:
    """Load the same module a second time, unseen by others."""
    spec = importlib.util.find_spec(module.__name__)
    if spec is None or spec.loader is None:
        return module
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    return copy
