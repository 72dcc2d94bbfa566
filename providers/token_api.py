"""医院开放接口 (token-api): a hospital's interface for patients and partners; one download with a bearer token.

facts:    fixtures/sites/token_api/README.md
asks:     token, a secret: best typed at the terminal
serves:   one zip of Part 10 files, or a single one
verified: emulated site only
"""

from __future__ import annotations

from functools import partial

from scraper.contract import (
    TOKEN,
    AsyncIterator,
    CloudfilmError,
    CredentialsRefused,
    Found,
    NoSuchStudy,
    NotOriginalDicom,
    Package,
    Provider,
    Reply,
    Request,
    Session,
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
    route = r"(?:/[\w.-]+)*/v1/studies/download/?(?:\?[^#]*)?(?:#.*)?"
    asks = (TOKEN,)
    marks = (r"(?:/[\w.-]+)*/v1/studies/download/?(?:[?#].*)?",)
    example = "https://api.hospital.test/v1/studies/download?studyId=ST123456&format=dicom"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        token = session.given(TOKEN) or link.params.get("access_token") or session.answer(TOKEN)
        sent = {"Authorization": f"Bearer {token}", "Accept": ACCEPT}
        study = Study(key=link.params.get("studyId", ""))
        yield Package(Request(address(link), headers=sent), study=study, refused=partial(_refused, link))


def address(link: ShareLink) -> str:
    """The link without the token that it may carry (a secret goes in the header only), and with its format."""
    pairs = [pair for pair in link.parts.query.split("&") if pair and not pair.startswith("access_token=")]
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
