"""医院开放接口 (token-api): a hospital's interface for patients and partners; one download with a bearer token.

facts:    fixtures/sites/token_api/README.md
asks:     token, a secret: best typed at the terminal
serves:   one zip of Part 10 files, or a single one
verified: emulated site only
"""

from __future__ import annotations

from scraper.contract import (
    TOKEN,
    AsyncIterator,
    CloudfilmError,
    CredentialsRefused,
    CredentialsRequired,
    Found,
    NoSuchStudy,
    NotOriginalDicom,
    Package,
    Provider,
    Reply,
    Request,
    Session,
    SessionLapsed,
    ShareLink,
    SiteChanged,
    Study,
    UnusableLink,
    read,
)

ACCEPT = "application/zip, application/dicom, */*"


class Refusal(Reply):
    code: str = ""
    message: str | None = ""


class TokenApi(Provider):
    name = "token-api"
    route = r"(?:/[^/?#]+)*/v1/studies/download/?(?:\?[^#]*)?(?:#.*)?"
    asks = (TOKEN,)
    marks = (r"(?:/[^/?#]+)*/v1/studies/download/?(?:[?#].*)?",)
    example = "https://api.hospital.test/v1/studies/download?studyId=ST123456&format=dicom"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        token = (
            session.given(TOKEN) or link.params.get("access_token") or link.params.get("token") or session.answer(TOKEN)
        )
        door = _Door(link, session, token)
        study = Study(key=link.params.get("studyId", ""))
        yield Package(door.request, study=study, refused=door.refused)


class _Door:
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
        meant = _refused(self._link, status, body)
        if status != 401 or self._refusal is not None:
            return meant
        self._refusal = meant
        return SessionLapsed(host=self._link.host)


def address(link: ShareLink) -> str:
    """The link without the token that it may carry (a secret goes in the header only), and with its format."""
    gone = ("access_token=", "token=")
    pairs = [part for part in link.parts.query.split("&") if part and part != "format=" and not part.startswith(gone)]
    if not any(pair.startswith("format=") for pair in pairs):
        pairs.append("format=dicom")
    return link.join(link.path) + "?" + "&".join(pairs)


def _refused(link: ShareLink, status: int, body: bytes) -> CloudfilmError | None:
    """What a refusal means here; None: what it means everywhere (busy, too many requests)."""
    try:
        told = read(body, Refusal, link.url)
    except SiteChanged:
        told = Refusal()
    said = told.message or ""
    if status == 400:
        is_format = told.code == "UNSUPPORTED_FORMAT"
        return NotOriginalDicom(said, host=link.host) if is_format else UnusableLink(said, link=link.redacted)
    if status in (401, 403):
        return CredentialsRefused(TOKEN.name, said, host=link.host)
    return NoSuchStudy(said, host=link.host) if status in (404, 410) else None
