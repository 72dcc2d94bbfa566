"""``cloudfilm learn`` on a provider's link: where the direct way no longer works, find the constant that its site has changed.

Only data is learnt: a text of the page's own scripts or requests in the place of a constant of the provider. Each is tried on the
link itself, through the session, and counts where exactly one of them makes the provider list and fetch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from scraper.authoring import page_constants
from scraper.authoring.page_constants import Page
from scraper.authoring.trace import NotLearnt
from scraper.capture.request import wado_uri
from scraper.contract import Discovered, Package, Provider, Series, Session, ShareLink, WadoUri
from scraper.core.errors import CloudfilmError, SiteChanged
from scraper.core.reasons import Reason
from scraper.pipeline.run import Run
from scraper.registry import catalogue, constants, overrides
from scraper.registry.constants import Value

MOST_TRIALS: Final = 5
MOST_TEXT: Final = 8 * 2**20  # bytes of one document or script
MOST_TEXTS: Final = 32 * 2**20  # bytes of all


@dataclass(frozen=True, slots=True)
class Healed:
    """The constants that make a provider's direct way work again, by name: old value and new."""

    provider: type[Provider]
    host: str
    changes: Mapping[str, tuple[Value, Value]]
    instances: int

    def save(self) -> None:
        """Write them as a local override.

        Raises:
            WrongOverride: the file that is there can't be used. DiskFull, NotWritable: the disk refuses.
        """
        overrides.save(self.provider, {name: new for name, (_, new) in self.changes.items()})
        overrides.apply(self.provider)


async def heal_link(run: Run, given: str) -> Healed | None:
    """Find what a provider's site has changed; None where the provider still works, or there is no direct way to mend.

    Args:
        run: open, with ``keep_programs`` in its settings, so that scripts are seen.
        given: the source, whose link the provider owns.

    Raises:
        NotLearnt: the site has changed, and its page does not say how.
        CloudfilmError: the link can't be opened, as for ``grab``.
    """
    share = await run.link_of(given)
    owner = catalogue.find(share)
    if owner is None or not owner.provider.speaks_directly() or not owner.provider.is_web():
        return None
    provider = owner.provider
    try:
        await _listed(run, provider, share)
    except SiteChanged:
        page = await run.watched(share.url, _page, provider)
        return await _healed(run, provider, share, page)
    except CloudfilmError:  # the site's own word on this link: no constant changes it
        return None
    return None


async def _page(link: ShareLink, session: Session) -> Page:
    """The documents, scripts and calls of the page, once it has come to rest."""
    timings, window = session.settings.timings.drive, await session.window()
    await session.traffic.settled(timings.quiet_s, timings.first_s)
    await window.answered(timings.first_s)
    await session.traffic.settled(timings.quiet_s, timings.first_s)
    texts, left = list[str](), MOST_TEXTS
    for exchange in session.traffic.exchanges:
        is_program = exchange.kind in ("document", "script") or "javascript" in exchange.content_type
        if is_program and exchange.size <= min(MOST_TEXT, left):
            left -= exchange.size
            texts.append(exchange.read().decode("utf-8", "replace"))
    calls = tuple(
        (exchange.url, exchange.request_body or b"")
        for exchange in session.traffic.exchanges
        if exchange.kind in ("xhr", "fetch") and exchange.ok and ShareLink(exchange.url).host == link.host
    )
    return Page(tuple(texts), calls)


async def _healed(run: Run, provider: Provider, share: ShareLink, page: Page) -> Healed:
    kind = type(provider)
    known = {**constants.constants(kind), **overrides.in_use(kind)}
    proposed = page_constants.hypotheses(known, page, constants.program(kind))
    if not proposed:
        raise NotLearnt(host=share.host, what=Reason.NO_NEW_CONSTANT.of(provider=kind.name))
    if len(proposed) > MOST_TRIALS:
        counts = {"count": len(proposed), "most": MOST_TRIALS}
        raise NotLearnt(host=share.host, what=Reason.TOO_MANY_CONSTANTS.of(provider=kind.name, **counts))
    works: list[tuple[dict[str, Value], int]] = []
    for values in proposed:
        if any(values.items() <= found.items() for found, _ in works):
            continue  # a part of what works already
        with constants.tried(kind, {**overrides.in_use(kind), **values}, overrides.in_use(kind)):
            try:
                works.append((values, await _listed(run, provider, share)))
            except CloudfilmError:
                continue
    if len(works) != 1:
        why = Reason.SEVERAL_CONSTANTS_WORK if works else Reason.NO_CONSTANT_WORKS
        count = len(works) or len(proposed)
        raise NotLearnt(host=share.host, what=why.of(count=count, provider=kind.name))
    values, instances = works[0]
    return Healed(kind, share.host, {name: (known[name], value) for name, value in values.items()}, instances)


async def _listed(run: Run, provider: Provider, share: ShareLink) -> int:
    """The number of instances that a provider lists directly; the first and the last are fetched.

    Raises:
        SiteChanged: it lists nothing, or what it lists can't be had. CloudfilmError: as for ``grab``.
    """

    async def check(session: Session, found: list[Discovered]) -> int:
        instances = [item for series in found if isinstance(series, Series) for item in series.instances]
        packages = [item for item in found if isinstance(item, Package)]
        if not instances and not packages:
            raise SiteChanged(host=share.host)
        for instance in {id(item): item for item in (*instances[:1], *instances[-1:])}.values():
            if isinstance(instance.source, WadoUri) and not await wado_uri.is_dicom(session, instance.source):
                raise SiteChanged(host=share.host)
        return len(instances) or len(packages)

    return await run.discovered(provider, share, check)
