"""医院开放接口 (token-api): a hospital's interface for patients and partners; one download with a bearer token."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from scraper.contract import (
    TOKEN,
    CheckedReply,
    CloudfilmError,
    CredentialsRefused,
    CredentialsRequired,
    NoSuchStudy,
    NotOriginalDicom,
    Package,
    Provider,
    Request,
    Response,
    Session,
    SessionLapsed,
    ShareLink,
    Study,
    UnusableLink,
)

ACCEPT = "application/zip, application/dicom, */*"
REFUSALS: Mapping[int, Callable[..., CloudfilmError]] = {
    400: NotOriginalDicom,
    **dict.fromkeys((401, 403), partial(CredentialsRefused, TOKEN.name)),
    **dict.fromkeys((404, 410), NoSuchStudy),
}


class TokenApi(Provider):
    name = "token-api"
    route = r"(?:/[^/?#]+)*/v1/studies/download/?(?:\?[^#]*)?(?:#.*)?"
    asks = (TOKEN,)
    when_asked = "token, a secret: best typed at the terminal"
    serves = "one zip of Part 10 files, or a single one"
    distinctive_routes = (r"(?:/[^/?#]+)*/v1/studies/download/?(?:[?#].*)?",)
    example = "https://api.hospital.test/v1/studies/download?studyId=ST123456&format=dicom"

    async def discover(self, link: ShareLink, session: Session) -> list[Package]:
        given = session.given(TOKEN) or link.param("access_token") or link.param("token")
        download = _Download(link, session, given or session.answer(TOKEN))
        return [Package(download.request, Study(key=link.param("studyId")), refused=download.refused)]


class _Download:
    """The download with a token; where the token is refused, a person may give another, once."""

    def __init__(self, link: ShareLink, session: Session, token: str) -> None:
        self._link, self._session, self._token = link, session, token
        self._refusal: CloudfilmError | None = None

    async def request(self) -> Request:
        if self._refusal is not None:
            try:
                self._token = self._session.answer(TOKEN, ask_again=True)
            except CredentialsRequired:  # nobody is there
                raise self._refusal from None
        return Request(address(self._link), headers={"Authorization": f"Bearer {self._token}", "Accept": ACCEPT})

    def refused(self, status: int, body: bytes) -> Exception | None:
        refusal = _refusal(self._link, status, body)
        if status != 401 or self._refusal is not None:
            return refusal
        self._refusal = refusal
        return SessionLapsed(host=self._link.host)


def address(link: ShareLink) -> str:
    """The link without the token that it may carry (a secret goes in the header only), and with its format."""
    secret = ("access_token=", "token=")
    pairs = [part for part in link.parts.query.split("&") if part and part != "format=" and not part.startswith(secret)]
    if not any(pair.startswith("format=") for pair in pairs):
        pairs.append("format=dicom")
    return link.join(link.path) + "?" + "&".join(pairs)


def _refusal(link: ShareLink, status: int, body: bytes) -> CloudfilmError | None:
    """What a refusal means here; None: what it means everywhere (busy, too many requests)."""
    reply = Response(status, {}, body, link.url).read_or_empty(CheckedReply)
    if status == 400 and reply.code != "UNSUPPORTED_FORMAT":
        return UnusableLink(reply.message, link=link.redacted)
    return REFUSALS[status](reply.message, host=link.host) if status in REFUSALS else None
