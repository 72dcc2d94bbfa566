"""NeuView mobile: one call lists a study's objects, each a small zip in an object store; sold under several names.

facts: fixtures/sites/ljjk/README.md, fixtures/sites/xa_data/README.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from urllib.parse import urljoin, urlsplit

from providers.toolkit import drive_page, envelope
from scraper.contract import (
    CAPTCHA,
    CaptchaRequired,
    Field,
    Instance,
    NoSuchStudy,
    Problem,
    Reason,
    Reply,
    Response,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    Study,
    ZipMember,
    gone,
    whole,
)

CALL = "/nwservice/rispacsresp/"
CALLED = r"/nwservice/rispacsresp/[^/?#]+"
DONE = "2000"
IN_FRAGMENT = r"#(?P<token>[^&=#?/]*_SIGN_[^&#?]+)(?:&[^#]*)?"
OBJECT_KEYS = ("ossKey", "file", "fileHash")
PREFIX = re.compile(r"(?<!\s)\s*PK:", re.IGNORECASE)
# A check that a person passes; a signature's or a token's is the site's own.
CHECK = re.compile(r"验证码|请[^，,。；]{0,8}验证|(?:先|需要?|须|未)[^，,。；]{0,6}验证")
MASKED_NAME = re.compile(r"影像云-(.+)")  # the title of the shared page: 西安市影像云-张**


class SeriesReply(Reply):
    number: str | None = Field(None, alias="seriesnumber")
    description: str | None = Field("", alias="seriesdescription")
    unique_id: str | None = Field("", alias="seriesuniqueid")
    instance_uid: str | None = Field("", alias="seriesInstanceUID")
    image: object = None
    images: object = None
    instances: object = None


class StudyReply(Reply):
    patient_name: str | None = Field("", alias="patientname")
    modality: str | None = ""
    description: str | None = Field("", alias="studydescription")
    date: str | None = Field("", alias="studydate")
    checked: str | None = Field("", alias="checktime")
    check: str | None = Field("", alias="checkserialnum")
    study_id: str | None = Field("", alias="studyId")
    uid: str | None = Field("", alias="studyInstanceUID")
    series: list[SeriesReply] | None = None


class ListReply(Reply):
    code: str
    msg: str | None = ""
    message: str | None = ""
    data: StudyReply | None = None


def call(link: ShareLink, token: str) -> str:
    """The address that lists the study."""
    return link.join(f"{CALL}{token}?bType={link.params.get('bType') or '2d'}")


async def shown(session: Session) -> Response:
    """The answer to the open page's own call; of several the first that is no refusal.

    Raises:
        StudyGone: the page came to rest without such a call; carries the words that it shows.
    """
    if not await drive_page.comes(session, partial(is_listed, session)) and not session.traffic.matching(CALLED):
        raise gone(await drive_page.words(session), host=session.link.host)
    answers = _answers(session)
    return next(filter(_is_done, answers), answers[-1])


def is_listed(session: Session) -> bool:
    """Was a call of the open page's answered with a list."""
    return any(map(_is_done, _answers(session)))


def _answers(session: Session) -> list[Response]:
    calls = session.traffic.matching(CALLED)
    return [Response(exchange.status, exchange.headers, exchange.read(), exchange.url) for exchange in calls]


def _is_done(answer: Response) -> bool:
    try:
        return answer.read(ListReply).code == DONE
    except SiteChanged:
        return False


def described(link: ShareLink, answer: Response) -> list[Series]:
    """The series as the site lists them, in the order of the list.

    Raises:
        CaptchaRequired: the site asks for a check first. StudyGone: the site refuses the token, in its own words.
        NoSuchStudy: no object is listed. SiteChanged: not as known.
    """
    told = envelope.told(answer, ListReply)
    if told.code != DONE:
        said = told.msg or told.message or told.code
        raise (
            CaptchaRequired(CAPTCHA.name, said, host=link.host) if CHECK.search(said) else gone(said, host=link.host)
        )
    data = told.data
    if data is None or not data.series:
        raise NoSuchStudy(told.msg or "", host=link.host)
    title = MASKED_NAME.search(link.params.get("title", ""))
    study = Study(
        uid=data.uid or "",
        date=re.sub(r"\D", "", data.date or data.checked or "")[:8],
        modality=data.modality or "",
        description=data.description or "",
        patient_name=data.patient_name or (title.group(1) if title else ""),
        key=data.check or data.study_id or "",
    )
    found = [_series(link, place, series, study) for place, series in enumerate(data.series)]
    if not any(series.instances for series in found):
        raise NoSuchStudy(host=link.host)
    return found


def _series(link: ShareLink, place: int, told: SeriesReply, study: Study) -> Series:
    numbers = {
        str(item.get("fileHash")): whole(str(item.get("instanceNumber")))
        for item in _entries(told.images)
        if isinstance(item, Mapping)
    }
    lists = [got for got in map(_listed, (told.image, told.images, told.instances)) if got]
    listed = next((got for got in lists if any(map(_address, got))), lists[0] if lists else [])
    instances: dict[str, Instance] = {}
    nameless = 0
    for position, entry in enumerate(listed, start=1):
        address = _address(entry)
        if not address:
            nameless += 1
            continue
        # a path may hold a colon, and is no scheme for that
        whole_url = address.startswith(("http://", "https://", "/"))
        url = urljoin(link.origin, address if whole_url else f"/{address}")
        path = urlsplit(url).path  # the query is the store's signature, which the next run's list gives anew
        own = whole(str(entry.get("instanceNumber"))) if isinstance(entry, Mapping) else None
        number = own or numbers.get(path.rpartition("/")[2]) or position
        instances[path] = Instance("", ZipMember(url), key=path, number=number)
    nowhere = Problem(
        "left-out", tuple(f"{place}/{n}" for n in range(nameless)), {"what": Reason.NO_ADDRESS}, fatal=False
    )
    return Series(
        study_instance_uid=study.uid,
        series_instance_uid=told.instance_uid or told.unique_id or "",
        key=f"{place}/{told.number or ''}",
        number=place + 1 if whole(told.number) is None else whole(told.number),
        description=told.description or "",
        modality=study.modality,
        expected=len(instances) + nameless,
        study=study,
        instances=tuple(instances.values()),
        left_out=(nowhere,) if nameless else (),
    )


def _listed(value: object) -> list[object]:
    return list(_entries(value))


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
