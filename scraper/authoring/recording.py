"""A bundle of ``cloudfilm record`` as what a viewer received, from which a provider can be written."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from scraper.authoring.deduce import inferred_provider
from scraper.authoring.inferred import InferredProvider
from scraper.authoring.trace import NotLearnt
from scraper.capture.infer.models import candidate_models
from scraper.capture.infer.tallies import falls_short
from scraper.capture.infer.templates import Rule
from scraper.capture.observe.received import Observations
from scraper.core import link as links
from scraper.core.bounded_json import parse_json
from scraper.core.errors import CloudfilmError, CorruptInstance, StoreError
from scraper.core.link import ShareLink
from scraper.core.reasons import Reason
from scraper.protocols.zip_bounds import checked_entries
from scraper.session.browser.traffic import WEBSOCKET_IN, WEBSOCKET_OUT, Exchange, Traffic

FORMAT: Final = "cloudfilm-bundle"
MOST_BYTES: Final = 2 * 2**30  # of all bodies together, one that is named several times counted so often
MOST_BODY: Final = 256 * 2**20  # of one, which is held in memory
MOST_DOCUMENT_BYTES: Final = 64 * 2**20  # of bundle.json: thousands of calls are some megabytes
MAX_MODELS: Final = 20


# what a hostile zip or document raises: RuntimeError has NotImplementedError (another way of packing) and RecursionError
_BROKEN: Final = (OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, RuntimeError)


class BundleUnread(Exception):
    """A file is no bundle, or a damaged one; the text says why."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What a bundle holds.

    Attributes:
        link: that was opened; every value in it is a replacement.
        answers: that the site asked for, by question; replacements too.
        exchanges: in the order in which they were made.
    """

    link: ShareLink
    answers: Mapping[str, str]
    exchanges: tuple[Exchange, ...]

    @property
    def has_cookies(self) -> bool:
        """Whether the site sets a cookie, or is sent one."""
        return any("set-cookie" in item.headers or "cookie" in item.request_headers for item in self.exchanges)


def read_bundle(path: Path, spool: Path) -> Recording:
    """Read a bundle.

    Args:
        path: the zip.
        spool: a folder for large bodies.

    Raises:
        BundleUnread: it is none.
    """
    traffic = Traffic(spool)
    try:
        with zipfile.ZipFile(path) as archive:
            checked_entries(archive, path.stat().st_size)
            if sum(info.file_size for info in archive.infolist()) > MOST_BYTES:
                raise BundleUnread(f"{path} is too large")
            if archive.getinfo("bundle.json").file_size > MOST_DOCUMENT_BYTES:
                raise BundleUnread(f"{path}: bundle.json is too large")
            document = parse_json(archive.read("bundle.json"))
            if not isinstance(document, dict) or document.get("format") != FORMAT:
                raise BundleUnread(f"{path} is no bundle of cloudfilm record")
            _check_sizes(document, archive)
            for exchange in _exchanges(document, archive, traffic):
                traffic.add(exchange)
        link = links.parse_url(str(document["link"]))
        answers = {str(name): str(value) for name, value in dict(document.get("answers") or {}).items()}
    except (CorruptInstance, StoreError) as err:
        raise BundleUnread(f"{path} can't be read as a bundle: {err.code}") from err
    except CloudfilmError as err:
        raise BundleUnread(f"{path}: the bundle names no link") from err
    except (*_BROKEN, zlib.error, zipfile.BadZipFile) as err:
        raise BundleUnread(f"{path} can't be read as a bundle: {err}") from err
    return Recording(link, answers, tuple(traffic.exchanges))


def _check_sizes(document: Mapping[str, Any], archive: zipfile.ZipFile) -> None:
    """Count the bodies before the first one is unpacked.

    Raises:
        ValueError: they are too large.
    """
    left = MOST_BYTES
    for entry in document["entries"]:
        messages = [message["body"] for message in entry.get("messages", ())]
        for name in (*messages, entry.get("body"), entry.get("request_body")):
            size = archive.getinfo(str(name)).file_size if name else 0
            left -= size
            if size > MOST_BODY or left < 0:
                raise ValueError(f"its bodies are too large: {size}")


def _exchanges(document: Mapping[str, Any], archive: zipfile.ZipFile, traffic: Traffic) -> Iterator[Exchange]:
    def body_of(name: object) -> bytes:
        return archive.read(str(name)) if name else b""

    for entry in document["entries"]:
        url, kind = str(entry["url"]), str(entry.get("kind") or "other")
        for message in entry.get("messages", ()):
            data, way = body_of(message["body"]), WEBSOCKET_IN if message["direction"] == "in" else WEBSOCKET_OUT
            yield Exchange(url, way, status=101, body=traffic.keep(data), size=len(data), is_text=bool(message["text"]))
        if "messages" in entry or not urlsplit(url).hostname:
            continue
        body = body_of(entry.get("body"))
        yield Exchange(
            url,
            kind,
            str(entry.get("method") or "GET"),
            {str(name): str(value) for name, value in (entry.get("request_headers") or {}).items()},
            body_of(entry.get("request_body")) or None,
            int(entry.get("status") or 0),
            {str(name): str(value) for name, value in (entry.get("headers") or {}).items()},
            traffic.keep(body),
            len(body),
            when=float(entry.get("time") or 0.0),
        )


async def learnt_from(recording: Recording, spool: Path) -> tuple[InferredProvider, Observations]:
    """What a recording teaches, and what was recognised in it.

    Args:
        recording: a bundle's.
        spool: a folder for the objects that came.

    Raises:
        NotLearnt: its lists do not explain its requests for images.
    """
    observations = Observations(spool)
    await observations.take(list(recording.exchanges))
    host = recording.link.host
    if not observations.objects:
        raise NotLearnt(host=host, what=Reason.NO_DICOM_OBJECT_CAME)
    rule = _rule(observations, recording)
    if rule is None:
        raise NotLearnt(host=host, what=Reason.NO_LIST_EXPLAINS_REQUESTS)
    learnt = inferred_provider(
        recording.link, recording.exchanges, recording.answers, observations, rule, visits=recording.has_cookies
    )
    return learnt, observations


def _rule(observations: Observations, recording: Recording) -> Rule | None:
    """The first rule of addresses alone that the recorded requests prove."""
    for model in islice(candidate_models(observations, recording.exchanges), MAX_MODELS):
        gives_less = observations.copies.gives_less(model.replies, observations.objects)
        is_proven = not (model.trials or gives_less or falls_short(model.rule))
        if model.is_plain and is_proven and model.sample is not None:
            return model.rule
    return None
