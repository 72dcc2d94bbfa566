"""A viewer that nobody has a recipe for: watch it, recognise DICOM, ask for the rest, and say how complete that is.

The order: what the traffic shows of a known protocol is asked for by it; else what was learnt from the manifests; else the
viewer is driven until nothing new comes. What is another study's is not touched.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Final, Protocol

from scraper.capture import completeness
from scraper.capture.drive import stated_counts
from scraper.capture.drive.driver import Driver
from scraper.capture.drive.wording import EXPIRED, PHONE_ONLY
from scraper.capture.infer import claims, siblings, tallies
from scraper.capture.infer.models import RequestModel, candidate_models
from scraper.capture.infer.preparation import staging
from scraper.capture.infer.templates import Rule, Template
from scraper.capture.observe.received import Observations, with_instances
from scraper.capture.request import known_protocols, socket_replay
from scraper.capture.request.http_replay import HttpReplayer
from scraper.core.errors import (
    CloudfilmError,
    CorruptInstance,
    LinkExpired,
    MissingInstances,
    NotOriginalDicom,
    SiteChanged,
    UnknownViewer,
)
from scraper.core.evidence import Evidence
from scraper.core.link import ShareLink
from scraper.core.model import Asked, Captured, Found, Instance, Problem, Series, Source
from scraper.session import Session
from scraper.session.browser.traffic import Exchange

_UID: Final = re.compile(r"(?<![\d.])[0-2](?:\.\d+){4,}(?![\d.])")
RECIPE_S: Final = 120.0  # for a recipe to read, or leaf through, what it knows
TRIES: Final = 2  # of one recipe: its calls may be seen before its viewer is up
MAX_TRIALS: Final = 4  # guesses of one request that fail, after which no more are tried: each costs the site a refusal
MAX_STUDIES: Final = 20  # behind one link
PHONE_SCREEN: Final = (390, 844)  # CSS pixels
STAGE_PIXELS: Final = 200 * 200  # a picture shown smaller than this is no film


class Recipe(Protocol):
    """What is known of one product's viewer: the call by which it lists a study, and how that is read."""

    @property
    def calls(self) -> str:
        """An expression found in that call's address."""

    def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        """What the viewer's own calls said."""


class By(StrEnum):
    """What completeness is judged by."""

    RECIPE = "recipe"
    DICOMWEB = "dicomweb"
    WADO_URI = "wado-uri"
    MANIFEST = "manifest"
    VIEWING = "viewing"


class Capture:
    """One link's universal capture.

    Args:
        link: the share link.
        session: its conversation; the window has been opened.
        ways: of asking for the rest that are used.
        phone: how a phone's browser names itself, to a page that is for phones only; empty: such a page is given up.
        recipes: of products whose viewers are known wherever they run.
        turn: which examination is meant, where the link's page lets one choose from several; from 0.
    """

    def __init__(
        self,
        link: ShareLink,
        session: Session,
        ways: Collection[By] = tuple(By),
        phone: str = "",
        recipes: Sequence[Recipe] = (),
        turn: int = 0,
    ) -> None:
        self._turn = turn
        self._begun = len(session.traffic.exchanges) if turn else 0  # what came before is another examination's
        self._ways = ways
        self._recipes = recipes
        self._phone = phone
        self._link = link
        self._session = session
        self._catch = Observations(session.spool / f"captured-{turn}", self._begun)
        self._listed: list[Series] = []
        self._driver: Driver | None = None
        self._looked_at = (0, 0)
        self._is_played = False  # the viewer was shown through
        self.by = By.VIEWING
        self._tried: Counter[str] = Counter()  # the calls of recipes -> how often they were followed
        self.known: set[str] = set()  # studies that are had already; coming upon one of them is enough
        self._guess: RequestModel | None = None  # what was learnt, where completeness is judged by a manifest
        self._whole: list[Series] = []  # of the studies that were shown to their end
        self._other: Capture | None = None  # the next examination's
        self._dropped: set[Template] = set()
        self._failed: Counter[Template | None] = (
            Counter()
        )  # how often asking by it failed; None: all guesses of one request

    @property
    def catch(self) -> Observations:
        """What was caught so far."""
        return self._catch

    @property
    def rule(self) -> Rule | None:
        """What was learnt of addresses alone; what is sent along besides can't be written as a provider."""
        return self._guess.rule if self._guess is not None and self._guess.is_plain else None

    async def run(self) -> list[Series]:
        """Every series of the link's study, or of its studies, where its page lets one choose from several of one person.

        Raises:
            NotOriginalDicom, UnknownViewer, LinkExpired, CredentialsRequired, CredentialsRefused: as for ``study``.
        """
        if not self._turn:
            self._session.patience.leaves(self.so_far)
        found = self._whole = await self.study()
        choices = self._driver.choices if self._driver is not None and self.by is not By.RECIPE else 0
        person = self._person()
        for turn in range(1, min(choices, MAX_STUDIES)):
            other = Capture(self._link, self._session, self._ways, self._phone, self._recipes, turn)
            other.known = {series.study_instance_uid for series in found}
            self._other = other
            await self._again()
            try:
                more = await other.study()
            except CloudfilmError as err:
                more = [Series("", "", key=f"choice-{turn}", left_out=(_not_had(f"{turn + 1}", err),))]
            if person and other._person() and other._person() != person:
                continue
            found += [series for series in more if series.study_instance_uid not in other.known]
        return found

    async def so_far(self) -> list[Series]:
        """What was captured until now, where the capture is ended before its own end."""
        await self._catch.ready()
        if not self._whole:
            return self._found(self._driver) if self._driver is not None else []
        more = await self._other.so_far() if self._other is not None else []
        person = self._person(), self._other._person() if self._other is not None else ""
        is_same = not all(person) or person[0] == person[1]
        there = {series.study_instance_uid for series in self._whole}
        return self._whole + [series for series in more if is_same and series.study_instance_uid not in there]

    async def _again(self) -> None:
        """The link's page once more, in one window."""
        window = await self._session.window()
        with window.quietly():
            for page in window.pages[:-1]:
                await page.close()
        with window.quietly():
            await window.page.goto("about:blank")  # the same address again, but for its fragment, would load nothing
        await window.open(self._link.url)

    def _person(self) -> str:
        """Whose images came: the one ID that they all bear; nothing where there is none."""
        found = {item.header.patient_id for item in self._catch.objects.values()}
        return found.pop() if len(found) == 1 else ""

    async def study(self) -> list[Series]:
        """Every series of one study.

        Raises:
            NotOriginalDicom: only pictures were shown. UnknownViewer: nothing was. LinkExpired: the page says so.
            CredentialsRequired, CredentialsRefused: its form asks for more.
        """
        driver = await self._driven()
        found = self._found(driver)
        if not found and self._phone and await self._wants_a_phone(driver):
            window = await self._session.window()
            await window.as_phone(self._phone, *PHONE_SCREEN)
            await window.open(self._link.url)
            driver = await self._driven()
            found = self._found(driver)
        if found:
            return found
        said = await driver.text()
        if EXPIRED.search(said):
            raise LinkExpired(host=self._link.host)
        if driver.refusal is not None:
            raise driver.refusal
        if self._catch.broken:
            raise CorruptInstance(what=self._catch.broken[0])
        if await self._shows_pictures(driver):
            raise NotOriginalDicom(host=self._link.host)
        raise UnknownViewer(link=self._link.redacted)

    async def _shows_pictures(self, driver: Driver) -> bool:
        """Whether the page shows a film, and what it received for that is no DICOM.

        A page that counts images shows them on whatever stage it has; of any other page the stage must be large.
        """
        stage, came = await driver.stage(), self._catch.pictures
        if stage is None:
            return False
        if driver.entries or driver.stated or stated_counts.totals(await driver.text()):
            return bool(came.real or came.small or came.opaque)
        return bool(came.real) and stage["size"] >= STAGE_PIXELS

    async def _driven(self) -> Driver:
        """The viewer, brought up and shown through."""
        window = await self._session.window()
        driver = self._driver = Driver(self._session, window, self._catch, self._can_list, self._turn)
        if not await driver.enter() and not (await driver.download() and not self._is_thin()):
            await driver.play()
            self._is_played, self._looked_at = True, (0, 0)
            await self._can_list()
        return driver

    async def _wants_a_phone(self, driver: Driver) -> bool:
        """Whether the page says that it is for phones, refuses a computer, or shows it nothing at all."""
        said = (await driver.text()).strip()
        refused = any(
            exchange.kind == "document" and exchange.status == 403 for exchange in self._session.traffic.exchanges
        )
        return not EXPIRED.search(said) and (not said or refused or PHONE_ONLY.search(said) is not None)

    def _is_thin(self) -> bool:
        """A download of a single object is no package of a study."""
        return len(self._catch.objects) < 2

    # ---- asking for the rest

    async def _can_list(self) -> bool:
        """Whether the study's instances can be listed; looked into again only after something new came."""
        if self._listed or self.known.intersection(self._catch.studies()):
            return True
        state = (len(self._session.traffic.exchanges), self._catch.size)
        if state == self._looked_at:
            return False
        self._looked_at = state
        for by, ask in (
            (By.RECIPE, self._by_recipe),
            (By.DICOMWEB, self._dicomweb),
            (By.WADO_URI, self._wado_uri),
            (By.MANIFEST, self._learnt),
        ):
            if by not in self._ways:
                continue
            try:
                self._listed = await ask()
            except CloudfilmError:
                continue
            if self._listed:
                self.by = by
                return True
        return False

    async def _shows_more(self, rule: Rule) -> bool:
        """Whether the viewer shows more series than a rule gives, or lists more, of which that rule's is one."""
        if rule.is_flat and any(rule.count in tally and sum(tally) > rule.count for tally in self._tallies()):
            return True
        if self._driver is None:
            return False
        if not rule.is_flat and self._driver.entries and sum(self._driver.entries) == rule.count:
            return False
        return not rule.tells_apart(await self._driver.series_shown())

    def _tallies(self) -> list[list[int]]:
        return list(tallies.tallies(self._catch.manifests))

    async def _by_recipe(self) -> list[Series]:
        for recipe in self._recipes:
            if (
                self._turn
                or self._tried[recipe.calls] >= TRIES
                or not any(exchange.ok for exchange in self._session.traffic.matching(recipe.calls))
            ):
                continue
            self._tried[recipe.calls] += 1
            try:
                async with asyncio.timeout(RECIPE_S):
                    watched = recipe.watch(self._link, self._session)
                    found = [series async for series in watched if isinstance(series, Series)]
            except CloudfilmError:
                continue  # its calls look alike
            except TimeoutError:
                self._tried[recipe.calls] = TRIES
                continue
            if any(series.instances for series in found):
                return found
        return []

    async def _dicomweb(self) -> list[Series]:
        service = known_protocols.root(self._exchanges)
        if service is None or not (service.studies or self._hints()):
            return []
        named = (
            known_protocols.named_studies(self._link.url)
            or [uid for uid in service.studies if uid in self._hints()][:1]
        )
        archive = known_protocols.DicomWeb(self._session, service, self._session.spool)
        found = list[Series]()
        for uid in named or service.studies[:1]:
            try:
                found += await archive.series(uid)
            except SiteChanged as err:
                found.append(Series(uid, "", left_out=(_not_had(uid, err),)))
        return found if any(series.instances for series in found) else []

    async def _wado_uri(self) -> list[Series]:
        exchanges = self._exchanges
        lists = [manifest.value for manifest in self._catch.manifests]
        if not self._is_played and not known_protocols.names_objects(exchanges, lists):
            return []  # what was asked for so far is no list
        found = await known_protocols.listed_by_wado_uri(self._session, exchanges, self._session.page.url, lists)
        study = self._study({series.study_instance_uid: len(series.instances) for series in found})
        return [series for series in found if series.study_instance_uid == study]

    async def _learnt(self) -> list[Series]:
        """What the first explanation that stands its proof gives."""
        exchanges = self._session.traffic.exchanges
        guesses = candidate_models(self._catch, exchanges)
        while (guess := await asyncio.to_thread(next, guesses, None)) is not None:
            template = guess.rule.template
            if self._failed[template] >= TRIES or (guess.trials and self._failed[None] >= MAX_TRIALS):
                continue
            if template in self._dropped or await self._shows_more(guess.rule):
                continue  # the viewer shows more series than are listed so far: a list of its own for each
            gives_less = self._catch.copies.gives_less(guess.brought, self._catch.objects)
            if gives_less or claims.falls_short(guess.rule):
                self._dropped.add(guess.rule.template)
                continue
            try:
                series = await (self._talked(guess) if guess.sample is None else self._asked(guess, guess.sample))
            except CloudfilmError:
                self._failed[template] += 1
                self._failed[None] += bool(guess.trials)
                continue
            if series and not (guess.rule.is_flat and self._leaves_out(guess.rule, series)):
                self._guess = guess
                return series
            if not series:
                self._dropped.add(template)
                self._failed[None] += bool(guess.trials)
        return []

    def _leaves_out(self, rule: Rule, found: Sequence[Series]) -> bool:
        """Whether lists name series that one list of images does not give, while the viewer may still show theirs."""
        if self._is_played:
            return False
        study = self._study(self._catch.studies())
        there = {series.series_instance_uid for series in found} | _of_records(rule)
        lists = completeness.lists(self._catch.manifests, self._catch, study)
        return bool(completeness.missing(study, lists, there))

    def _told(self, study: str) -> siblings.Expected:
        """What lists make expected of which a value stands in an image's request or answer."""
        exchanges = self._session.traffic.exchanges
        found = siblings.images(exchanges, self._catch, study)
        if self.by is By.MANIFEST and self._guess is not None:
            rule, brought = self._guess.rule, self._guess.brought
            for place, addresses in rule.addresses.items():
                known = next(
                    (
                        self._catch.objects[brought[address]]
                        for address in addresses
                        if brought.get(address) in self._catch.objects
                    ),
                    None,
                )
                series = known.header.series_instance_uid if known else f"list-{place}"
                found += [
                    siblings.Image(address, series, " ".join((address, *rule.records[address].fields.values())))
                    for address in addresses
                ]
        told = siblings.expected(self._catch.manifests, exchanges, found, study)
        told.counts = {uid: count for uid, count in told.counts.items() if not uid.startswith("list-")}
        return told

    async def _asked(self, guess: RequestModel, sample: Exchange) -> list[Series]:
        before = staging(self._session.traffic.exchanges, guess.rule, guess.brought, guess.fresh)
        asker = HttpReplayer(self._session, sample, self._catch.new_file, guess.fresh, guess.rule.records, before)
        await asker.prepare()
        if not await self._stands_trial(guess, asker):
            return []
        return self._explained(guess, guess.brought, asker.source)

    async def _stands_trial(self, guess: RequestModel, asker: HttpReplayer) -> bool:
        """Whether other values of the list bring an image each: none had before, of this study, two of them of one series.

        A list whose every entry brings an image of another series is one of series, seen by their first images.
        """
        objects = self._catch.objects
        heads = [objects[uid].header for uid in set(guess.brought.values()) if uid in objects]
        ours = {head.study_instance_uid for head in heads}
        if not guess.trials:
            return True
        for key in guess.trials:
            head = await asker.brings(key)
            if any(head.sop_instance_uid == known.sop_instance_uid for known in heads):
                return False
            heads.append(head)
        same = [head.series_instance_uid for head in heads if head.study_instance_uid in ours]
        return len(set(same)) < len(same)

    async def _talked(self, guess: RequestModel) -> list[Series]:
        """What a socket gives is brought at once: who knows how long it stays open."""
        window = await self._session.window()
        brought = await socket_replay.SocketReplayer(
            self._session, window, self._catch, guess.rule, guess.fresh
        ).bring()
        if len(brought) <= len(guess.brought) < len(guess.rule.records):
            return []  # the site does not answer us

        async def fails() -> bytes:
            raise MissingInstances(why="no answer")

        return self._explained(guess, brought, lambda _: Asked(fails))

    def _explained(
        self, guess: RequestModel, brought: Mapping[str, str], source: Callable[[str], Source]
    ) -> list[Series]:
        """The series that a rule gives; those of another study, by the list or by what came, are left out."""
        rule, objects = guess.rule, self._catch.objects
        study = self._study(self._catch.studies())
        ours = [
            record
            for key, record in rule.records.items()
            if (item := objects.get(brought.get(key, ""))) and item.header.study_instance_uid == study
        ]
        fields = {  # those that bear the UID of the series
            name
            for key, uid in brought.items()
            if key in rule.records and uid in objects
            for name, value in rule.records[key].fields.items()
            if value == objects[uid].header.series_instance_uid
        }
        found = []
        for place, every in enumerate(rule.addresses.values(), 1):
            addresses = [key for key in every if not completeness.of_another(rule.records[key], ours, study)]
            known = [objects[brought[key]].header for key in addresses if brought.get(key) in objects]
            if not addresses or (known and known[0].study_instance_uid != study):
                continue  # the page lists another study as well
            instances = [
                Instance(brought.get(key, ""), source(key), key=f"{place}/{number}", number=number)
                for number, key in enumerate(addresses, 1)
            ]
            about = Series(study, next(iter(_values(rule, addresses, fields)), ""), key=f"list-{place}")
            if known:
                uid = known[0].series_instance_uid
                about = next(series for series in self._catch.series(study) if series.series_instance_uid == uid)
            # one list of everything may hold several series: then its length is no series' count
            count = None if rule.is_flat else len(instances)
            found.append(replace(with_instances(about, instances, count), key=f"list-{place}"))
        return found

    # ---- what there is

    @property
    def _exchanges(self) -> list[Exchange]:
        """What came since this examination was turned to."""
        return self._session.traffic.exchanges[self._begun :]

    def _hints(self) -> set[str]:
        """UIDs in the link and in the viewer's address."""
        return set(_UID.findall(self._link.url)) | set(_UID.findall(self._session.page.url))

    def _study(self, counts: dict[str, int]) -> str:
        """The study that the link is for: the one its address names, else the one shown most."""
        named = [uid for uid in counts if uid in self._hints()]
        return named[0] if named else max(counts, key=lambda uid: counts[uid], default="")

    def _found(self, driver: Driver) -> list[Series]:
        """Every series, with what is to be said of the copies of its images."""
        return [self._catch.copies.named(series, self._catch.objects) for series in self._series(driver.totals)]

    def _series(self, totals: dict[str, int]) -> list[Series]:
        """What was listed, with what was caught already taken from there; else what was caught. Each says how it was judged."""
        listed_studies = {item.study_instance_uid: len(item.instances) for item in self._listed}
        study = self._study(listed_studies or self._catch.studies())
        caught = self._catch.series(study)
        if not caught and not self._listed:
            return []  # counts on a page of which no image came are no study
        if self.by is By.RECIPE:
            return [
                replace(
                    series,
                    instances=tuple(map(self._nearest, series.instances)),
                    evidence=series.evidence or Evidence.SERVICE,
                )
                for series in self._listed
            ]
        if self.by is By.DICOMWEB:
            lists: dict[str, completeness.Listed] = {}  # the service's own list is the study's
        else:
            lists = completeness.lists(self._catch.manifests, self._catch, study)
        told, claimed = self._told(study), self._claims(study)
        named = {
            uid for item in lists.values() for uid in (item.uid, *item.instances)
        }  # their own lists are read above
        for uid, count in (*told.counts.items(), *claimed.counts.items()):
            if self.by is not By.DICOMWEB:
                listed = lists.setdefault(uid, completeness.Listed(uid))
                listed.count = max(listed.count or 0, count)
        if not self._listed:
            unasked = completeness.unasked(study, claimed, named)
            return self._watched(study, caught, lists, totals, told, unasked)
        by = Evidence.SERVICE if self.by is By.DICOMWEB else Evidence.MANIFEST
        merged = [
            replace(
                series,
                instances=tuple(map(self._nearest, series.instances)),
                evidence=by,
                expected=_most(series.expected, lists.get(series.series_instance_uid)),
            )
            for series in self._listed
        ]
        names = {instance.sop_instance_uid for item in merged for instance in item.instances}
        rest = [] if self.by is By.MANIFEST else [replace(name, evidence=by) for name in _left(caught, names)]
        if self.by is By.WADO_URI:
            merged = [self._as_asked(series, lists, totals) for series in merged]
        there = {item.series_instance_uid for item in (*merged, *rest)} | names | self._named_by_rule()
        absent = completeness.missing(study, lists, there)
        if len(absent) <= sum(not item.series_instance_uid for item in merged):
            absent = []  # they are had under addresses that do not say whose they are
        found = [*merged, *rest, *absent]
        if self.by is By.MANIFEST:
            is_less = not absent and self._is_less(merged, claimed)
            unasked = completeness.unasked(study, claimed, named | there) if is_less else []
            found += _most_absent(_absent(study, told, found, there), unasked)
        return found if self.by is By.MANIFEST else known_protocols.numbered(found)

    def _watched(
        self,
        study: str,
        caught: Sequence[Series],
        lists: Mapping[str, completeness.Listed],
        totals: Mapping[str, int],
        told: siblings.Expected,
        unasked: Sequence[Series],
    ) -> list[Series]:
        """What the viewer showed, held against what lists and the page itself say."""
        found = [self._judged(series, lists, totals) for series in caught]
        there = {series.series_instance_uid for series in found}
        absent = completeness.missing(study, lists, there)
        broken = completeness.broken(study, len(self._catch.broken))
        held = [*(found if absent else self._counted(study, found)), *absent]
        came = there | {instance.sop_instance_uid for item in found for instance in item.instances}
        named = sum(
            bool(item.series_instance_uid) for item in absent
        )  # a series that nobody names may be claimed as well
        shown = sum(not item.instances for item in held) - named
        return [*held, *_most_absent(_absent(study, told, held, came), unasked[shown:]), *broken]

    def _claims(self, study: str) -> claims.Claims:
        """What lists claim by ids of their own; where the site's own service lists the study, nothing."""
        if self.by in (By.RECIPE, By.DICOMWEB, By.WADO_URI):
            return claims.Claims()
        ours = {
            uid: item.header for uid, item in self._catch.objects.items() if item.header.study_instance_uid == study
        }
        return claims.claims(self._catch.manifests, self._catch.sources, ours)

    def _is_less(self, merged: Sequence[Series], claimed: claims.Claims) -> bool:
        """Whether a rule gives fewer series, or images, than lists claim beside it."""
        if self._guess is not None and self._guess.rule.is_flat:
            counts = [*claimed.counts.values(), *(count or 0 for _, count in claimed.absent)]
            return sum(len(series.instances) for series in merged) < sum(counts)
        return len(merged) < len(claimed.counts) + len(claimed.absent)

    def _judged(self, series: Series, lists: Mapping[str, completeness.Listed], totals: Mapping[str, int]) -> Series:
        uid = series.series_instance_uid
        scrolled = self._driver.scrolled if self._driver is not None else set()
        return completeness.judged(
            series,
            lists.get(uid),
            totals.get(uid),
            is_packed=self._is_packed(series),
            is_scrolled=uid in scrolled,
        )

    def _as_asked(self, series: Series, lists: Mapping[str, completeness.Listed], totals: Mapping[str, int]) -> Series:
        """A series of WADO-URI addresses: those that the viewer asked for itself, one after another, are no list."""
        named = known_protocols.named_objects(self._exchanges, [manifest.value for manifest in self._catch.manifests])
        if {instance.sop_instance_uid for instance in series.instances} <= named:
            return series
        heads = {uid: item.header for uid, item in self._catch.objects.items()}
        numbered = tuple(
            replace(item, number=heads[item.sop_instance_uid].instance_number)
            if item.sop_instance_uid in heads
            else item
            for item in series.instances
        )
        return self._judged(replace(series, instances=numbered), lists, totals)

    def _counted(self, study: str, found: list[Series]) -> list[Series]:
        """Held against the counts that the viewer shows, else against those of a list of which one is a series' that came."""
        sizes = {len(series.instances) for series in found}
        driver = self._driver
        shown = driver.entries if driver else []
        for counts in (shown, *(tally for tally in self._tallies() if sizes.intersection(tally))):
            held = completeness.with_entries(study, found, counts)
            if held != found:
                return held
        if driver is None:
            return found
        return completeness.unmet(found, shown, driver.stated, driver.rows, self._tallies())

    def _named_by_rule(self) -> set[str]:
        """Every value that stands with an address that was learnt: the series whose images are asked for are among them."""
        if self.by is not By.MANIFEST or self._guess is None:
            return set()
        return _of_records(self._guess.rule)

    def _is_packed(self, series: Series) -> bool:
        """Whether all of a series came in one answer together with others: the site's own package."""
        return all(instance.sop_instance_uid in self._catch.packed for instance in series.instances)

    def _nearest(self, instance: Instance) -> Instance:
        """From the disk, where the object was caught whole."""
        caught = self._catch.objects.get(instance.sop_instance_uid)
        return instance if caught is None else replace(instance, source=Captured(caught.path))


def _not_had(name: str, err: CloudfilmError) -> Problem:
    """One of several examinations that could not be brought; what it is known by."""
    why = err.said or str(err.values.get("why") or err.values.get("what") or err.code)
    return Problem("fetch-failed", (name,), {"why": why})


def _absent(study: str, told: siblings.Expected, found: Sequence[Series], there: Collection[str]) -> list[Series]:
    """The entries of a list of which nothing came, beyond those that are missing already."""
    missing = sum(not series.instances for series in found)
    # what is listed by its UID is read by ``complete.lists``, which knows another study's
    absent = [(label, count) for label, count in told.absent if label not in there and not _UID.fullmatch(label)]
    return [
        Series(
            study,
            "",
            key=f"sibling-{place}",
            expected=count,
            left_out=(Problem("missing-series", (label,) if label else ()),),
            evidence=Evidence.MANIFEST,
        )
        for place, (label, count) in enumerate(absent, 1)
    ][missing:]


def _most_absent(*some: Sequence[Series]) -> Sequence[Series]:
    """The most that any of several lists says is missing: the same is in several lists, and is not added up."""
    return max(some, key=lambda absent: (len(absent), sum(item.expected or 0 for item in absent)))


def _of_records(rule: Rule) -> set[str]:
    return {value for record in rule.records.values() for value in record.fields.values()}


def _values(rule: Rule, keys: Sequence[str], fields: Collection[str]) -> set[str]:
    """What some fields say of the instances of one list, where they agree."""
    found = {rule.records[key].fields[name] for key in keys for name in fields if name in rule.records[key].fields}
    return found if len(found) == 1 else set()


def _most(expected: int | None, listed: completeness.Listed | None) -> int | None:
    """A list that counts more images of a series than it names counts."""
    if expected is None or listed is None or listed.count is None:
        return expected
    return max(expected, listed.count)


def _left(caught: Sequence[Series], names: set[str]) -> list[Series]:
    """What was caught and is in no list."""
    rest = [
        replace(
            series,
            instances=tuple(instance for instance in series.instances if instance.sop_instance_uid not in names),
        )
        for series in caught
    ]
    return [series for series in rest if series.instances]


__all__ = ["By", "Capture", "Observations", "Driver"]
