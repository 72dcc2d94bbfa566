"""TLS towards an archive (PS3.15 B.12): its certificate is checked against the system's authorities, or a file's."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scraper.core.errors import UnreadableFile


@dataclass(frozen=True, slots=True)
class Tls:
    """How an archive is spoken to over TLS.

    Attributes:
        authority: a file of certificates to trust in the place of the system's.
        certificate: of this computer, where the archive asks for one.
        key: of that certificate, where its file has none.
        insecure: take any certificate.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    insecure: bool = False

    @classmethod
    def of(cls, words: Mapping[str, str], *, insecure: bool) -> Tls:
        """As a ``pacs://`` address gives it by ``ca``, ``cert`` and ``key``."""
        authority, certificate, key = (Path(words[name]) if words.get(name) else None for name in ("ca", "cert", "key"))
        return cls(authority, certificate, key, insecure)

    def context(self) -> ssl.SSLContext:
        """The library's view of it.

        Raises:
            UnreadableFile: a file that is not there, or no certificate.
        """
        try:
            made = ssl.create_default_context(cafile=self.authority)
        except (OSError, ssl.SSLError) as err:
            raise UnreadableFile(path=str(self.authority)) from err
        if self.insecure:
            made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
        if self.certificate is not None:
            try:
                made.load_cert_chain(self.certificate, self.key)
            except (OSError, ssl.SSLError) as err:
                raise UnreadableFile(path=str(self.certificate)) from err
        return made
