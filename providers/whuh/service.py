"""The service behind whuh's pages: every call is signed, every answer enciphered, and the QR code bears its own expiry.

facts: fixtures/sites/whuh/README.md
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from datetime import datetime, timedelta, timezone

from scraper.contract import (
    ACCESS_CODE,
    CheckedReply,
    CloudfilmError,
    CredentialsRequired,
    Field,
    LinkExpired,
    Reason,
    Session,
    ShareLink,
    SiteChanged,
    read,
    refusal_error,
)
from scraper.protocols import ciphers

KEY, IV = bytes((8, 7, 6, 9, 4, 3, 2, 1)), bytes((1, 2, 3, 4, 9, 6, 7, 8))  # of the site's script; 2026-06
BEIJING = timezone(timedelta(hours=8))
CLOCK = "%Y-%m-%d %H:%M:%S"
SERVICE = "/ElectronicFilmService/"


class WhuhReply(CheckedReply):
    success: bool = Field(alias="Success")
    message: str = Field("", alias="Message")
    result: object = Field(None, alias="Result")

    def refusal(self) -> CloudfilmError:
        is_code = "安全码" in self.message
        return (
            CredentialsRequired(ACCESS_CODE.name, self.message)
            if is_code
            else refusal_error(self.message, is_sealed=True)
        )


async def call(link: ShareLink, session: Session, name: str, body: object) -> object:
    """One signed call; returns its ``Result``."""
    path = SERVICE + name
    nonce, stamp = f"{secrets.randbelow(900_000) + 100_000}", str(int(time.time() * 1000))
    signed = hashlib.md5(f"{nonce}{stamp}{path}{nonce}".encode(), usedforsecurity=False).hexdigest().upper()
    now = datetime.now(BEIJING).strftime(CLOCK)
    token = base64.b64encode(ciphers.triple_des_sealed(now, KEY * 3, IV)).decode()
    headers = {**page_headers(link), "TimeStamp": stamp, "Nonce": nonce, "Signature": signed, "vToken": token}
    response = await session.post(link.join(path), json=body, headers=headers)
    try:
        return read_result(link, response.body)
    except SiteChanged as err:
        raise err if response.ok else response.refusal from None


def read_result(link: ShareLink, body: bytes) -> object:
    """The ``Result`` of an answer: JSON in clear, or Base64 of its cipher, in quotes or not, padded or not.

    Raises:
        CredentialsRequired: the security code is asked for. StudyGone: refused, in the site's own words.
    """
    text = body.removeprefix(b"\xef\xbb\xbf").strip()
    if not text.startswith(b"{"):
        try:
            packed = ciphers.from_base64(text.decode("ascii", "replace").strip('"'))
            text = ciphers.triple_des_opened(packed, KEY * 3, IV)
        except ciphers.WrongKey:
            raise SiteChanged(what=Reason.NO_JSON.of(path=SERVICE)) from None
    response = read(text, WhuhReply, link.join(SERVICE))
    if not response.ok:
        raise response.refusal()
    return response.result


def check_time(link: ShareLink) -> None:
    """The QR code bears its own expiry; one that can't be read is the site's to judge."""
    try:
        text = ciphers.cbc_opened(bytes.fromhex(link.params.get("dateTime", "")), KEY * 2, IV * 2)
        expires = datetime.strptime(text, CLOCK).replace(tzinfo=BEIJING)
    except ValueError:
        return
    if expires < datetime.now(BEIJING):
        raise LinkExpired


def page_headers(link: ShareLink) -> dict[str, str]:
    """The headers of every request that the page makes."""
    return {"Origin": link.origin, "Referer": f"{link.origin}/index.html"}
