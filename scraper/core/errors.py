"""All errors of the program: one branch of the tree for each exit code.

An error has a stable ``code`` (its sentence and hint, in both languages, are in ``messages.toml`` under that name)
and ``values`` that fill the sentence. ``detail`` is the site's own wording, shown after ours.

Over 400 lines because it is a table: eighty errors of three lines each, in the order of their exit codes, next to no code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import ClassVar

from scraper.core.reasons import Because, Cause, Reason, as_cause


class ExitCode(IntEnum):
    """What the shell sees; the public contract names them."""

    COMPLETE = 0
    BUG = 1
    USAGE = 2
    NO_LINK = 3
    UNUSABLE_LINK = 4
    CREDENTIALS = 5
    GONE = 6
    INCOMPLETE = 7
    NOT_ORIGINAL = 8
    SITE = 9
    STORE = 10
    INTERRUPTED = 130


class CloudfilmError(Exception):
    """Base of every error of this program.

    Args:
        detail: the site's own words, if any; of a UsageError, what was wrong.
        values: what the sentence of ``messages.toml`` needs (``host``, ``path``, …); never a secret, never a name of a patient.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.BUG

    def __init__(self, detail: str = "", **values: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.values = values

    @property
    def code(self) -> str:
        """The stable name: the class name in kebab case, ``LinkExpired`` → ``link-expired``."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", type(self).__name__).lower()

    @property
    def cause(self) -> Cause:
        """Why, as far as the error says: its ``why`` or ``what``, else its own code."""
        return as_cause(self.values.get("why") or self.values.get("what") or self.code)

    @property
    def reason(self) -> Reason | None:
        """The reason that the error gives, without its values; None where it gives none."""
        cause = self.cause
        return cause if isinstance(cause, Reason) else cause.reason if isinstance(cause, Because) else None

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={value}" for name, value in self.values.items())
        return f"{self.code}({shown})" + (f": {self.detail}" if self.detail else "")

    def __repr__(self) -> str:
        return f"<{self}>"  # the default shows the site's words alone, and most errors have none


class RecipeFault(CloudfilmError):
    """A provider yields something unusable. Values: ``what``, which names it."""


class UsageError(CloudfilmError):
    """The command was called wrongly; ``detail`` names what was wrong."""

    exit_code = ExitCode.USAGE


class MalformedProxy(UsageError):
    """``--proxy`` is no address of a proxy. Values: ``scheme``."""


class WrongOverride(UsageError):
    """The file of local overrides holds something that can't be used. Values: ``path``, ``what``."""


class NoSuchFile(UsageError):
    """The source names a file that is not there. Values: ``path``."""


class UnreadableFile(UsageError):
    """The file is there and can't be read as what it claims to be. Values: ``path``."""


class EmptyFile(UnreadableFile):
    """The file holds no byte. Values: ``path``."""


class FolderGiven(UsageError):
    """A folder where one source is meant. Values: ``path``."""


class UnknownFormat(UnreadableFile):
    """A kind of picture that is known and not read. Values: ``path``, ``kind``."""


class LockedFile(UnreadableFile):
    """A PDF with a password that was not given, or not the right one. Values: ``path``."""


class NoDicomHere(UsageError):
    """The folder or zip holds no DICOM file. Values: ``path``."""


class OnlyViewerHere(NoDicomHere):
    """A disc's own viewer with what it alone opens. Values: ``path``, ``file``: the largest of its files."""


class HarWithoutContent(NoDicomHere):
    """A browser's recording that was saved without bodies. Values: ``path``."""


class NoImagesInHar(NoDicomHere):
    """A browser's recording in which no DICOM was recognised. Values: ``path``."""


class ArchiveUnread(UnreadableFile):
    """An archive that can't be unpacked. Values: ``path``, ``what``."""


class NothingToSee(UsageError):
    """The folder or zip holds DICOM files, and no picture. Values: ``path``."""


class NoSources(UsageError):
    """A list without a source, or a folder without a photo. Values: ``path``."""


class ExtraMissing(UsageError):
    """An optional part is not installed. Values: ``extra``."""


class PortTaken(UsageError):
    """The proxy can't listen on a port. Values: ``port``."""


class WorkersUnfit(UsageError):
    """The workers of a cluster lack this tool, or have another version of it. Values: ``host``, ``version``."""


class NoLink(CloudfilmError):
    """No code on the photo, or no code is a link. Values: ``source``."""

    exit_code = ExitCode.NO_LINK


class EqualLinks(NoLink):
    """Several links that may be the film's, none more than the others. Values: ``source``, ``links``, redacted."""


class DoubtfulLink(NoLink):
    """A link that is hardly the film's, and another code that could not be read. Values: ``source``, ``link``, redacted."""


class NoFilmLink(NoLink):
    """Links that open no film: shops, surveys, home pages. Values: ``source``, ``links``, redacted."""


class NoLinkInText(NoLink):
    """A text without a link. Values: ``source``."""


class MisspeltLink(NoLinkInText):
    """A text whose only address is misspelt. Values: ``link``, what it was probably meant to be, redacted."""


class PagesUnread(NoLink):
    """No link on the pages that were read, and others could not be. Values: ``source``, ``pages``."""


class UnusableLink(CloudfilmError):
    """A link that can't be used as it is. Values: ``link``, redacted."""

    exit_code = ExitCode.UNUSABLE_LINK


class WechatOnly(UnusableLink):
    """A code that only WeChat can open."""


class MiniProgramOnly(UnusableLink):
    """A code or address that belongs to a WeChat mini program's running session."""


class AppOnly(UnusableLink):
    """An address that opens an app on a phone, and no page. Values: ``app``."""


class PageBehindLink(MiniProgramOnly):
    """The address of the page behind a share link, copied after the redirect: it counts only in the session that opened it."""


class UnknownViewer(UnusableLink):
    """No provider owns the link, and its page shows no viewer that can be captured."""


class NeedsBrowser(UnusableLink):
    """The platform is only supported through a browser, which ``--browser never`` forbids. Values: ``host``."""


class UnsafeRedirect(UnusableLink):
    """A public link leads to a private or loopback address. Values: ``host``."""


class MalformedArchiveLink(UnusableLink):
    """A ``pacs://`` address of which one part can't be used. Values: ``part``."""


class QueryTooWide(UnusableLink):
    """A ``pacs://`` address that names no study, patient or accession number: an archive is never searched as a whole."""


class TooManyStudies(UnusableLink):
    """More studies match than one source may have. Values: ``host``, ``count``."""


class UnknownCalledTitle(UnusableLink):
    """The archive does not go by the AE title that was called. Values: ``host``, ``called``."""


class CredentialsError(CloudfilmError):
    """The site asks for something. Values: ``host``, ``field``."""

    exit_code = ExitCode.CREDENTIALS

    def __init__(self, field: str = "", detail: str = "", **values: object) -> None:
        super().__init__(detail, field=field, **values)
        self.field = field


class CredentialsRequired(CredentialsError):
    """The site asks for something that was not given."""


class CredentialsRefused(CredentialsError):
    """The site refused what was given; it is not tried again."""


class CaptchaRequired(CredentialsError):
    """Only a person can solve it: a captcha, a slider, a code sent to a phone. Values: ``label``, where it is no question."""


class NotRegistered(CredentialsError):
    """An archive does not know this computer by its AE title, or does not let it do this.

    Values: ``host``, ``calling``, ``listen`` (the port that C-MOVE sends to), ``why``.
    """


class StudyGone(CloudfilmError):
    """The study behind the link is not, or no longer, there. Values: ``host``."""

    exit_code = ExitCode.GONE


class LinkExpired(StudyGone):
    """The share has expired."""


class ShareCancelled(StudyGone):
    """The share was cancelled."""


class NoSuchStudy(StudyGone):
    """The site knows no such study, or keeps it no longer."""


class NotThereYet(StudyGone):
    """The site knows the study and does not have its images yet."""


class Incomplete(CloudfilmError):
    """Some instances are missing or failed verification; what arrived is kept."""

    exit_code = ExitCode.INCOMPLETE


class MissingInstances(Incomplete):
    """Fewer arrived than the site announced. Values: ``expected``, ``saved``."""


class CorruptInstance(Incomplete):
    """What arrived is no DICOM, or not a whole one. Values: ``what``."""


class NotCheckedInTime(CorruptInstance):
    """What arrived could not be read within the time allowed, so that nothing is known of it."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, what=Reason.NOT_READ_IN_TIME)


class WrongStudy(Incomplete):
    """What arrived belongs to another study or another patient."""


class NotAnImage(Incomplete):
    """The site lists the object and has no pixels for it (a report, a PDF)."""


class PictureInstead(NotAnImage):
    """A picture (a preview) came in the place of the object."""


class NotOriginalDicom(CloudfilmError):
    """Only pictures are given out. Values: ``host``."""

    exit_code = ExitCode.NOT_ORIGINAL


class DownloadNotPermitted(NotOriginalDicom):
    """The sharer, or the hospital, has not opened the originals."""


class SiteError(CloudfilmError):
    """The site could not be spoken to. Values: ``host``."""

    exit_code = ExitCode.SITE


class SiteChanged(SiteError):
    """The site answers in a way that no provider knows. Values: ``host``, ``what`` (URL path and key)."""


class ListNotReadInTime(SiteChanged):
    """What the site lists could not be read within the time allowed: nothing is known of it. Values: ``host``, ``what``."""


class ForeignHost(SiteChanged):
    """The site asks to send a person's answers to a host of another site. Values: ``host``, ``what``."""


class SiteUnreachable(SiteError):
    """No connection, or silence. Values: ``host``, ``why``. ``partial_response``: the head of one that was cut short."""

    partial_response: object = None


class BadCertificate(SiteUnreachable):
    """The site's TLS certificate can't be trusted; ``--insecure`` accepts it."""


class SiteBusy(SiteUnreachable):
    """The site says that it is overloaded, or still prepares the study after all the time we may wait."""


class ArchiveFull(SiteBusy):
    """The archive has no room for what is sent. Values: ``host``, ``why``."""


class AsksToWait(SiteBusy):
    """The site asks for a longer pause than is waited for. Values: ``host``, ``retry_after_s``."""


class NothingNew(SiteUnreachable):
    """The site keeps answering and sends nothing new. Values: ``host``, ``give_up_s``."""


class SessionLapsed(SiteError):
    """A token or cookie is no longer accepted; ``discover`` is then run once more."""


class BrowserMissing(SiteError):
    """A browser is needed and none is installed."""


class NothingReceived(SiteError):
    """The person's own browser received no image of a study while it was listened to."""


class ListenerLost(SiteError):
    """The proxy, or the browser that was attached to, ended by itself."""


class NoBrowserToAttachTo(SiteError):
    """No browser answers at its debugging port. Values: ``address``."""


class BrowserNotInstalled(SiteError):
    """The browser's installer failed. Values: ``why``."""


class StoreError(CloudfilmError):
    """The disk did not take it. Values: ``path``."""

    exit_code = ExitCode.STORE


class DiskFull(StoreError):
    """No space left."""


class TemporaryFolderFull(DiskFull):
    """No space left in the temporary folder for bodies and the browser's profile. Values: ``path``."""


class NotWritable(StoreError):
    """No permission, or a read-only disk."""


class InstanceConflict(StoreError):
    """Different bytes are stored already under the same SOP Instance UID. Values: ``uid``."""


def single_errors(error: BaseException) -> list[BaseException]:
    """The single errors of a group, however nested; any other error alone."""
    if isinstance(error, BaseExceptionGroup):
        return [single for inner in error.exceptions for single in single_errors(inner)]
    return [error]


@contextmanager
def first_of_groups() -> Iterator[None]:
    """Turn a group of our own errors into the first of these; a group with anything else in it passes as it is."""
    try:
        yield
        return
    except BaseExceptionGroup as group:
        every = single_errors(group)
        known = [error for error in every if isinstance(error, CloudfilmError)]
        if len(known) < len(every):
            raise
    raise known[0]
