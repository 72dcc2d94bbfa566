"""The words of ``cloudfilm send … TARGET`` → an archive's address."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from scraper.core import link
from scraper.core.errors import MalformedArchiveLink, UsageError
from scraper.session.dimse.tls import Tls

TITLE: Final = "CLOUDFILM"  # of this computer, where the link gives none
_WORDS: Final = {
    "calling": r"(?! )[ -\[\]-~]{1,16}",
    "listen": r"[1-9]\d{0,4}",
    "tls": r"yes|no",
    "ca": r".+",
    "cert": r".+",
    "key": r".+",
}


@dataclass(frozen=True, slots=True)
class DicomTarget:
    """An archive that takes C-STORE. ``listen``: a port of this computer for Storage Commitment's answer; 0: none."""

    host: str
    port: int
    called: str
    calling: str = TITLE
    listen: int = 0
    tls: Tls | None = None

    @property
    def shown(self) -> str:
        """What may be shown of it."""
        return f"pacs://{self.called}@{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class WebTarget:
    """A STOW-RS service (PS3.18 10.5): its address ends in ``/studies`` or ``/studies/UID``."""

    url: str = field(repr=False)

    @property
    def shown(self) -> str:
        """What may be shown of it."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}{parts.path}"


Target = DicomTarget | WebTarget


def target_of(text: str, *, insecure: bool = False) -> Target:
    """The archive that the words name.

    Raises:
        UsageError: neither kind of address. MalformedArchiveLink: a part of a ``pacs://`` address that can't be.
    """
    scheme = text.partition("://")[0].lower()
    if scheme == "pacs":
        return _dicom(text, insecure=insecure)
    if scheme in ("http", "https"):
        share = link.parse_url(text)
        if not re.search(r"/studies(?:/[0-9.]{1,64})?/?$", share.parts.path):
            raise UsageError(f"{share.redacted}: pacs://AET@host:port, https://host/…/studies")
        return WebTarget(share.url)
    raise UsageError("TARGET: pacs://AET@host:port?calling=…, https://host/…/studies")


def _dicom(text: str, *, insecure: bool) -> DicomTarget:
    share = link.of_archive(text)
    given = {name: value.strip() for name, value in share.params.items() if value.strip()}
    for name, value in given.items():
        if not re.fullmatch(_WORDS.get(name, r"(?!)"), value):
            raise MalformedArchiveLink(part=name if name in _WORDS else "?…")
    listen = int(given.get("listen", 0))
    if listen > 65535:
        raise MalformedArchiveLink(part="listen")
    return DicomTarget(
        share.host,
        share.port,
        share.ae_title,
        given.get("calling", TITLE),
        listen,
        Tls.of(given, insecure=insecure) if given.get("tls") == "yes" else None,
    )
