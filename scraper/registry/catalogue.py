"""Find the provider that owns a link: a plug-in, a built-in one, one that recognises it, or the universal capture."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from scraper.core import settings
from scraper.core.errors import NoSuchFile, PageBehindLink, UnusableLink, UsageError
from scraper.core.link import Kind, ShareLink, addresses, kind_of, parse_url, unwrap_oauth
from scraper.core.shape import Shape
from scraper.registry import index, overrides

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

    from providers.universal import Universal
    from scraper.contract import Provider

UNIVERSAL = "universal"
GROUP = "cloudfilm.providers"
SHARED = ("products", "toolkit")  # folders of ``providers`` that hold no platform
MOST_ADDRESSES = 16  # of one payload


@dataclass(frozen=True, slots=True)
class Broken:
    """A plugged-in provider that failed to load, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Owner:
    """A provider with the link as its route reads it; ``listed`` False: recognised by a distinctive route on an unlisted host."""

    provider: Provider
    link: ShareLink
    listed: bool = True


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All providers by name, and those that failed to load.

    ``plugged`` are the names of the plug-ins installed, ``replaced`` those of ours that one of them took the place of.
    """

    by_name: dict[str, type[Provider]]
    broken: tuple[Broken, ...]
    plugged: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()


def plug_ins() -> EntryPoints:
    """What is installed as a plug-in; it takes 5 ms to find out, so that it is done once for the folders as they are."""
    return _plug_ins(tuple(sys.path))


@cache
def _plug_ins(path: tuple[str, ...]) -> EntryPoints:
    from importlib.metadata import entry_points

    del path  # as it reads them itself
    return entry_points(group=GROUP)


@cache
def known() -> Catalogue:
    """Every provider: those plugged in by entry points first, then the built-in ones. A broken plug-in breaks nothing."""
    import providers
    from scraper.contract import Provider

    by_name: dict[str, type[Provider]] = {}
    broken: list[Broken] = []
    replaced: list[str] = []
    plugged = plug_ins()
    for entry in plugged:
        try:
            loaded = entry.load()
        except Exception as err:  # noqa: BLE001  # a stranger's module may fail in any way
            broken.append(Broken(entry.name, type(err).__name__))
            continue
        if isinstance(loaded, type) and issubclass(loaded, Provider) and loaded.name:
            by_name[loaded.name] = loaded
        else:
            broken.append(Broken(entry.name, "not a Provider"))
    for module in _modules(providers.__path__):
        try:
            for provider in _providers_in(module):
                if by_name.setdefault(provider.name, provider) is not provider:
                    replaced.append(provider.name)
        except (ImportError, SyntaxError) as err:  # one broken provider must not disable the others
            broken.append(Broken(module, str(err)))
    return Catalogue(by_name, tuple(broken), tuple(entry.name for entry in plugged), tuple(replaced))


def _modules(path: Iterable[str]) -> list[str]:
    """Modules below ``providers`` that may hold a provider: single files, and ``provider`` of a platform's package."""
    found = [info for info in pkgutil.iter_modules(path) if info.name not in SHARED]
    return sorted(f"providers.{info.name}{'.provider' if info.ispkg else ''}" for info in found)


def _providers_in(module: str) -> Iterable[type[Provider]]:
    from scraper.contract import Provider

    loaded = importlib.import_module(module)
    for value in vars(loaded).values():
        if (
            isinstance(value, type)
            and issubclass(value, Provider)
            and value.name
            and value.__module__ == loaded.__name__
        ):
            yield value


def about(provider: type[Provider]) -> dict[str, str]:
    """What a provider says of itself: ``title`` (its module's first line), ``facts``, ``asks``, ``serves``, ``verified``."""
    document = (importlib.import_module(provider.__module__).__doc__ or "").strip()
    module = provider.__module__.removesuffix(".provider").rpartition(".")[2]
    return {
        "title": document.partition("\n")[0].rstrip("."),
        "facts": provider.facts or f"fixtures/sites/{module}/README.md",
        "asks": provider.when_asked or ", ".join(question.name for question in provider.asks) or "nothing",
        "serves": provider.serves,
        "verified": provider.verified,
    }


def owners(link: ShareLink) -> list[Owner]:
    """Every provider whose host and route the link has; a test holds that there is never more than one."""
    return _owners((shape, shape.owns(link)) for shape in shapes())


def recognised(link: ShareLink) -> list[Owner]:
    """Every provider that recognises the link on a host that no deployment lists."""
    return _owners(((shape, shape.recognises(link)) for shape in shapes()), listed=False)


def _owners(found: Iterable[tuple[Shape, ShareLink | None]], *, listed: bool = True) -> list[Owner]:
    matched = [(_provider(shape), link) for shape, link in found if link is not None]
    return [Owner(provider(), link, listed) for provider, link in matched if provider is not None]


def _provider(shape: Shape) -> type[Provider] | None:
    """The provider with this shape, without the others; None where it no longer loads."""
    with suppress(ImportError, SyntaxError):
        for provider in _providers_in(shape.module):
            if provider.name == shape.name:
                return provider
    return known().by_name.get(shape.name)


def find(link: ShareLink, name: str = "") -> Owner | None:
    """Find the provider for a link: the one named, the one that owns it, the one that recognises it; else None.

    Args:
        link: the share link.
        name: a provider's name, or the path of a file that holds one.

    Raises:
        UsageError: no provider has that name, or the file holds none.
        UnusableLink: the provider named does not know links of this shape.
        WrongOverride: the provider's local override can't be used.
    """
    if name:
        chosen = from_file(Path(name)) if name.endswith(".py") else named(name)
        if chosen is None:
            raise UsageError(f"--provider {name}: {', '.join(sorted(known().by_name))}")
        matched = chosen.owns(link) or chosen.reads(link)
        if matched is None:
            raise UnusableLink(link=link.redacted)
        return _in_use(Owner(universal() if chosen.name == UNIVERSAL else chosen(), matched))
    found = next(iter(owners(link) or recognised(link)), None)
    return None if found is None else _in_use(found)


def named(name: str) -> type[Provider] | None:
    """The provider of that name, without the others."""
    return next((_provider(shape) for shape in shapes() if shape.name == name), None)


def _in_use(owner: Owner) -> Owner:
    """The same owner, whose provider uses its local override where there is one."""
    overrides.apply(type(owner.provider))
    return owner


def refuse_page_behind_link(link: ShareLink) -> None:
    """Refuse the address of a page that some platform's link leads to, copied instead of the link.

    Raises:
        PageBehindLink: it is.
    """
    address = f"{link.host}{link.target}"
    if any(re.fullmatch(shown, address) for shape in shapes() for shown in shape.behind):
        raise PageBehindLink(link=link.redacted)


def from_file(path: Path) -> type[Provider]:
    """The provider that a file of the user's own holds; its code runs as the user's, like any plug-in's.

    Raises:
        NoSuchFile: it is not there. UsageError: it does not load, or holds no provider or several.
    """
    from scraper.contract import Provider

    if not path.is_file():
        raise NoSuchFile(path=str(path))
    name = f"cloudfilm_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"--provider {path}: no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic looks a reply's annotations up there
    try:
        spec.loader.exec_module(module)
    except Exception as err:  # a file under work may fail in any way
        raise UsageError(f"--provider {path}: {type(err).__name__}: {err}") from err
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Provider) and value.name and value.__module__ == name
    ]
    if len(found) != 1:
        raise UsageError(f"--provider {path}: {len(found)} providers in it")
    return found[0]


def saved_page(html: str) -> ShareLink | None:
    """The link for a viewer's page that a person saved by hand, if some provider knows such pages."""
    for shape in shapes():
        if shape.saved_page and re.search(shape.saved_page, html):
            return replace(parse_url(shape.saved_from), saved=html)
    return None


def universal() -> Universal:
    """The last resort, with the providers that know a viewer by the calls it makes."""
    from providers.universal import Universal

    found = [_provider(shape) for shape in shapes() if shape.on_any_host]
    return Universal([provider() for provider in found if provider is not None])


@dataclass(frozen=True, slots=True)
class Payload:
    """What a payload is: its kind, the provider that owns it, and the link to open (a wrapper taken off).

    ``alone``: the payload is the link and nothing else.
    """

    kind: Kind
    provider: str | None
    link: str | None
    alone: bool = True

    @property
    def rank(self) -> int:
        """Lower is better; 0 is certain."""
        if self.kind is Kind.FILM_LINK:
            return 0
        if self.link is None:
            return 9
        return 1 if self.kind is Kind.LINK else 2


@cache
def shapes() -> tuple[Shape, ...]:
    """The link shapes of all providers, in the order of ``known``; from the cache if it is current, without loading any."""
    return index.shapes(settings.data_folder(), _load_shapes)


def _load_shapes() -> tuple[tuple[Shape, ...], bool]:
    """The same from the providers themselves, and whether it may be cached: foreign providers may change unnoticed."""
    every = known()
    lasts = not every.plugged and not every.broken
    return tuple(provider.shape() for provider in every.by_name.values()), lasts


def owner_of(link: ShareLink) -> str | None:
    """The name of the provider that ``find`` gives, without loading it."""
    every = shapes()
    ours = (shape.name for shape in every if shape.owns(link) is not None)
    recognising = (shape.name for shape in every if shape.recognises(link) is not None)
    return next(chain(ours, recognising), None)


def classify(text: str, symbology: str = "") -> Payload:
    """What one payload is, by the best of the addresses in it; never raises."""
    return min(
        classify_addresses(text, symbology),
        key=lambda item: item.rank,
        default=Payload(kind_of(text, symbology), None, None),
    )


def classify_addresses(text: str, symbology: str = "") -> list[Payload]:
    """What each address in a payload is, in order; never raises."""
    kind = kind_of(text, symbology)
    found = [] if kind is Kind.WECHAT_MINI_PROGRAM else addresses(text)[:MOST_ADDRESSES]
    alone = len(found) == 1 and "".join(text.split()) == found[0]
    return [_of_address(address, alone=alone) for address in found]


def _of_address(address: str, *, alone: bool) -> Payload:
    kind = kind_of(address)
    if kind in (Kind.LINK, Kind.WECHAT_OAUTH):
        inner = unwrap_oauth(address) if kind is Kind.WECHAT_OAUTH else address
        if inner is None:
            return Payload(kind, None, None, alone)
        try:
            owner = owner_of(parse_url(inner))
        except UnusableLink:
            return Payload(kind, None, None, alone)
        if owner is not None:
            return Payload(Kind.FILM_LINK if kind is Kind.LINK else kind, owner, inner, alone)
        return Payload(kind, None, inner, alone)
    return Payload(kind, None, None, alone)
