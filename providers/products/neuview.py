"""NeuView mobile: one call lists a study's objects, each a small zip in an object store; sold under several names.

facts: fixtures/sites/ljjk/README.md, fixtures/sites/xa_data/README.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from urllib.parse import urljoin, urlsplit

from scraper.contract import (
    CAPTCHA,
    WECHAT_PHONE,
    Call,
    CaptchaRequired,
    CheckedReply,
    CloudfilmError,
    Field,
    Instance,
    NoSuchStudy,
    Provider,
    Reply,
    Response,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    Study,
    ZipMember,
    parse_int,
    refusal_error,
)

LIST = Call("/nwservice/rispacsresp/{token}?bType={bType|=2d}")
CALLED = r"/nwservice/rispacsresp/[^/?#]+"
IN_FRAGMENT = r"#(?P<token>[^&=#?/]*_SIGN_[^&#?]+)(?:&[^#]*)?"
OBJECT_KEYS = ("ossKey", "file", "fileHash")
PREFIX = re.compile(r"(?<!\s)\s*PK:", re.IGNORECASE)
# A check that a person passes; a signature's or a token's is the site's own.
CHECK = re.compile(r"验证码|请[^，,。；]{0,8}验证|(?:先|需要?|须|未)[^，,。；]{0,6}验证")
MASKED_NAME = re.compile(r"影像云-(.+)")  # the title of the shared page: 西安市影像云-张**


class SeriesReply(Reply):
    number: str = Field("", alias="seriesnumber")
    description: str = Field("", alias="seriesdescription")
    unique_id: str = Field("", alias="seriesuniqueid")
    instance_uid: str = Field("", alias="seriesInstanceUID")
    image: object = None
    images: object = None
    instances: object = None


class ListReply(CheckedReply):
    """The list of the study's objects."""

    good = ("2000",)
    patient_name: str = Field("", alias="data.patientname")
    modality: str = Field("", alias="data.modality")
    description: str = Field("", alias="data.studydescription")
    date: str = Field("", alias="data.studydate")
    checked: str = Field("", alias="data.checktime")
    check: str = Field("", alias="data.checkserialnum")
    study_id: str = Field("", alias="data.studyId")
    uid: str = Field("", alias="data.studyInstanceUID")
    series: tuple[SeriesReply, ...] = Field((), alias="data.series")

    def refusal(self) -> CloudfilmError:
        """CaptchaRequired: the site asks for a check first. StudyGone: it refuses the token, in its own words."""
        message = self.site_message or self.code
        return CaptchaRequired(CAPTCHA.name, message) if CHECK.search(message) else refusal_error(message)


class NeuView(Provider):
    """Every hospital's; its link has the token in its fragment."""

    user_agent = WECHAT_PHONE  # the page's mobile template is the one that works; other browsers are refused
    on_any_host = True
    entry = LIST

    async def describe(self, link: ShareLink, session: Session, response: Response) -> list[Series]:
        """As the site lists them; see ``describe``."""
        return describe(link, response)

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        """List it from the page's own call."""
        return describe(link, await shown(session))


async def shown(session: Session) -> Response:
    """The answer to the open page's own call; of several the first that is no refusal.

    Raises:
        StudyGone: the page came to rest without such a call; carries the words that it shows.
    """
    if not await session.screen.wait_for_face(partial(is_listed, session)) and not session.traffic.matching(CALLED):
        raise refusal_error(await session.screen.message())
    answers = _answers(session)
    return next(filter(_is_good, answers), answers[-1])


def is_listed(session: Session) -> bool:
    """Was a call of the open page's answered with a list."""
    return any(map(_is_good, _answers(session)))


def _answers(session: Session) -> list[Response]:
    return [exchange.response() for exchange in session.traffic.matching(CALLED)]


def _is_good(response: Response) -> bool:
    try:
        return response.read(ListReply).ok
    except SiteChanged:
        return False


def describe(link: ShareLink, response: Response) -> list[Series]:
    """The series as the site lists them, in the order of the list.

    Raises:
        CaptchaRequired, StudyGone: as ``ListReply.refusal``. NoSuchStudy: no object is listed. SiteChanged: not as known.
    """
    listed = response.checked(ListReply)
    title = MASKED_NAME.search(link.params.get("title", ""))
    study = Study(
        uid=listed.uid,
        date=listed.date or listed.checked,
        modality=listed.modality,
        description=listed.description,
        patient_name=listed.patient_name or (title.group(1) if title else ""),
        key=listed.check or listed.study_id,
    )
    found = [_series(link, place, series, study) for place, series in enumerate(listed.series)]
    if not any(series.instances for series in found):
        raise NoSuchStudy(listed.msg)
    return found


def _series(link: ShareLink, place: int, reply: SeriesReply, study: Study) -> Series:
    numbers = {
        str(item.get("fileHash")): parse_int(item.get("instanceNumber"))
        for item in _entries(reply.images)
        if isinstance(item, Mapping)
    }
    lists = [entries for value in (reply.image, reply.images, reply.instances) if (entries := list(_entries(value)))]
    listed = next((entries for entries in lists if any(map(_address, entries))), lists[0] if lists else [])
    addresses = list(map(_address, listed))
    instances: dict[str, Instance] = {}
    for position, (entry, address) in enumerate(zip(listed, addresses, strict=True), start=1):
        if not address:
            continue
        # a path may hold a colon, and is no scheme for that
        is_url = address.startswith(("http://", "https://", "/"))
        url = urljoin(link.origin, address if is_url else f"/{address}")
        path = urlsplit(url).path  # the query is the store's signature, which the next run's list gives in another form
        own = parse_int(entry.get("instanceNumber")) if isinstance(entry, Mapping) else None
        number = own or numbers.get(path.rpartition("/")[2]) or position
        instances[path] = Instance("", ZipMember(url), key=path, number=number)
    nameless, series_number = addresses.count(""), parse_int(reply.number)
    series = Series(
        study_instance_uid=study.uid,
        series_instance_uid=reply.instance_uid or reply.unique_id,
        key=f"{place}/{reply.number}",
        number=place + 1 if series_number is None else series_number,
        description=reply.description,
        modality=study.modality,
        expected=max(len(instances) + nameless, *map(len, lists), 0),  # one of its lists may name more than another
        study=study,
        instances=tuple(instances.values()),
    )
    return series.without((f"{place}/{number}" for number in range(nameless)), "no address")


def _entries(value: object) -> Iterator[object]:
    """A list's entries: of a list, of JSON text of a list, or of ``{"arrayValue": ["[…]"]}``, lists inside strings."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            value = json.loads(value)
        except ValueError:
            return
        yield from _entries(value)
    elif isinstance(value, Mapping) and "arrayValue" in value:
        yield from _entries(value["arrayValue"])
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, str) and item.lstrip()[:1] in ("[", "{"):
                yield from _entries(item)
            else:
                yield item
    elif isinstance(value, Mapping):
        yield value


def _address(entry: object) -> str:
    """Where an entry's object lies: ``PK:`` and a path or an address, or an object that names its key in the store."""
    if isinstance(entry, Mapping):
        entry = next((entry[key] for key in OBJECT_KEYS if entry.get(key)), "")
    return PREFIX.sub("", entry).strip() if isinstance(entry, str) else ""
