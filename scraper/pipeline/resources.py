"""What a run's links share: each host's pace, one browser, the processes that inspect, and a folder for large bodies."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from scraper.core.disk import disk_errors
from scraper.core.errors import BrowserMissing, CloudfilmError, SiteUnreachable, TemporaryFolderFull
from scraper.core.leftovers import RunFolder, remove_leftovers
from scraper.core.reasons import Reason
from scraper.core.settings import Settings, temporary_folder_name
from scraper.protocols import zip_archive
from scraper.session.door import Network
from scraper.session.http.pace import Pace
from scraper.verify import Inspector

if TYPE_CHECKING:
    from scraper.session.browser import Browser


LEAST_FREE_BYTES = 32 * 2**20  # a browser's profile alone takes some 10 MB


class SharedResources:
    """Opened once, used by one link after another, closed at the end; browser and processes start at the first need.

    Args:
        settings: the run's options.
        pace: one that others keep as well; by default a pace of its own.
        network: how names are resolved and addresses reached; by default the system's.
    """

    def __init__(self, settings: Settings, *, pace: Pace | None = None, network: Network | None = None) -> None:
        self.network = network
        self.pace = pace or Pace(settings.jobs, settings.rate)
        self.spool = Path()
        self._folder: RunFolder | None = None
        self._settings = settings
        self._stack = AsyncExitStack()
        self._browser: Browser | None = None
        self._inspector: Inspector | None = None

    async def __aenter__(self) -> Self:
        """Makes the folder; nothing is started yet."""
        await asyncio.to_thread(_sweep)
        with disk_errors(temporary_folder()):
            self._folder = RunFolder()
        self.spool = self._folder.path
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends what was started, and removes the folder."""
        try:
            await self._stack.aclose()
        finally:
            await asyncio.to_thread(zip_archive.close_idle)
            if self._folder is not None:
                await asyncio.to_thread(self._folder.remove)

    async def browser(self) -> Browser:
        """The browser; its process starts with the first window."""
        if self._browser is None:
            from scraper.session.browser import Browser

            self._browser = Browser(self._settings, self.spool / "browser")
            self._stack.push_async_callback(self._browser.close)
        return self._browser

    def use(self, inspector: Inspector) -> None:
        """Take another's processes from now on; their owner closes them."""
        self._inspector = inspector

    async def inspector(self) -> Inspector:
        """The processes that check what arrived."""
        if self._inspector is None:
            self._inspector = await self._stack.enter_async_context(Inspector())
        return self._inspector


def temporary_folder() -> Path:
    """The system's temporary folder.

    Raises:
        TemporaryFolderFull: no temporary folder can be written to.
    """
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as err:
        raise TemporaryFolderFull(path=temporary_folder_name()) from err


def explained(error: CloudfilmError) -> CloudfilmError:
    """What made a browser end or not begin, where that is a temporary folder without space: the site is not to blame."""
    if not isinstance(error, (BrowserMissing, SiteUnreachable)):
        return error
    if isinstance(error, SiteUnreachable) and error.reason is not Reason.BROWSER_ENDED:
        return error
    try:
        folder = temporary_folder()
        free = shutil.disk_usage(folder).free
    except TemporaryFolderFull as full:
        return full
    except OSError:
        return error
    return TemporaryFolderFull(path=str(folder)) if free < LEAST_FREE_BYTES else error


@cache
def _sweep() -> None:
    """Once in a process: remove what killed runs left behind."""
    remove_leftovers()


def probe(folder: Path) -> None:
    """Make sure that a folder can be written, or be made; nothing of the trial stays.

    Raises:
        DiskFull, NotWritable: it can't.
    """
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    with disk_errors(folder):
        if not place.is_dir():
            raise NotADirectoryError(str(place))
        with tempfile.TemporaryFile(dir=place, prefix=".cloudfilm-") as trial:
            trial.write(bytes(4096))
            trial.flush()
