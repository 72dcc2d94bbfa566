"""Save what a page offers as a download, by a link or button or made in the page itself."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from scraper.core.disk import keep_reserve
from scraper.core.errors import CloudfilmError
from scraper.session.browser.failures import first_line, within
from scraper.session.browser.traffic import DOWNLOAD, Exchange, Traffic

if TYPE_CHECKING:
    from playwright.async_api import Download

CANCEL_S = 10.0  # for the browser to call a download off
LOOK_AT_DISK_S = 0.5  # while a download grows; a fast line brings 50 MB in that time


async def save(download: Download, traffic: Traffic) -> None:
    """Add a download to the traffic once it has ended; a failed one is noted as missed."""
    from playwright.async_api import Error

    traffic.busy += 1
    try:
        path = traffic.new_file()
        await asyncio.to_thread(os.replace, await _finished(download, traffic), path)
    except (Error, OSError) as err:
        traffic.miss(download.url, first_line(err))
    except CloudfilmError as err:
        traffic.end(err)
    else:
        headers = {"content-disposition": f'attachment; filename="{download.suggested_filename}"'}
        size = path.stat().st_size
        traffic.add(Exchange(download.url, DOWNLOAD, headers=headers, body=path, size=size, when=traffic.now))
    finally:
        traffic.busy -= 1


async def _finished(download: Download, traffic: Traffic) -> Path:
    """The file of a finished download; meanwhile the disk is watched.

    Raises:
        DiskFull: the reserve would be used up; the download is called off.
    """
    ending = asyncio.ensure_future(download.path())
    try:
        while not (await asyncio.wait({ending}, timeout=LOOK_AT_DISK_S))[0]:
            keep_reserve(traffic.folder)
    except CloudfilmError:
        ending.cancel()
        await within(CANCEL_S, download.cancel())
        raise
    return await ending
