"""Press a viewer's download button, and wait: for its dialog, for the job that makes the package, for the file itself."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from scraper.capture.drive import elements
from scraper.capture.drive.elements import PageElement
from scraper.capture.drive.steps import Pause, Steps
from scraper.capture.observe.received import Observations
from scraper.core.errors import CloudfilmError, DownloadNotPermitted, SiteBusy
from scraper.core.reasons import Reason
from scraper.core.timings import DriveTimings

if TYPE_CHECKING:
    from scraper.session.browser import Window

MAX_PRESSED: Final = 6  # entries, dialogs and links between the first button and the file
LONGEST_DETAIL: Final = 60

DOWNLOAD: Final = re.compile(
    r"^DICOM.{0,2}(原始)?(文件|数据|影像|图像|压缩包)$|^(DICOM)?.{0,2}原始(文件|数据|图像|影像)$|"
    r"(下载|导出|打包|刻盘|刻录|export|download).{0,8}(影像|图像|原始|原图|DICOM|dcm|zip|数据|全部|检查|study|images|all)|"
    r"(影像|图像|原始|原图|DICOM|dcm|全部|study|images?).{0,6}(下载|导出|打包|刻盘|download|export)|"
    r"^(一键|批量)?(下载|导出|打包|打包下载|刻盘|刻盘包|光盘包|download|export)( all)?$",
    re.IGNORECASE,
)
LINK: Final = re.compile(
    r"^(点击|点此|立即|开始|马上|确认|保存)?(下载|保存)(文件|链接|压缩包|到本地|地址)?$", re.IGNORECASE
)
NO_PACKAGE: Final = re.compile(r"pdf|app|客户端|jpe?g|png|bmp|mp4|图片|视频|插件|浏览器|报告单|记录", re.IGNORECASE)
CONFIRM: Final = re.compile(
    r"^(确定|确认|是的?|好的?|继续|开始|立即|同步)?(下载|导出|打包|生成)?$|^(ok|yes|confirm|continue|download|start|export)$",
    re.IGNORECASE,
)
FORMAT: Final = re.compile(r"^(dicom|dcm)\s*(格式|原图|原始|文件)?$|^原始(影像|图像|数据)$", re.IGNORECASE)
ALL: Final = re.compile(r"^(全选|选择全部|全部选择|select all)$", re.IGNORECASE)
OTHERS: Final = re.compile(r"既往|历史|以往|以前|其他检查|prior|history|previous", re.IGNORECASE)
CHOOSE_FIRST: Final = re.compile(r"(请|先).{0,6}(选择|勾选)|select.{0,12}first", re.IGNORECASE)
CLOSED: Final = re.compile(
    r"上限|超过.{0,8}次|次数.{0,6}(限制|用完|不足)|无权|没有权限|未开放|不提供|不允许|禁止|quota|limit (is )?(reached|exceeded)|"
    r"not (allowed|permitted)",
    re.IGNORECASE,
)
FAILED: Final = re.compile(
    r"失败(?!.{0,3}0)|终止|(?<!未见)(?<!明显)(?<!无)异常|出错|错误|超时|\bfail|\berror|timed out", re.IGNORECASE
)


class PackageDownload:
    """Gets a package out of one window.

    Args:
        window: the page's.
        observations: what came.
        timings: how long it may take.
    """

    def __init__(self, window: Window, observations: Observations, timings: DriveTimings) -> None:
        self._window = window
        self._timings = timings
        self._observations = observations
        self._lines_before: frozenset[str] = frozenset()  # that the page showed before anything was pressed
        self.is_partial = False  # of several such buttons, one gave nothing
        self.refusal: CloudfilmError | None = None  # what the page said instead of giving the package

    async def steps(self, never: re.Pattern[str]) -> Steps:
        """Press a button that gives the images as files, and wait for them.

        Args:
            never: wordings that are not pressed.
        """
        shown = await elements.find_elements(self._window, "words")
        first = _chosen(shown, (DOWNLOAD,), never)
        if first is None:
            return
        self._lines_before = frozenset((await elements.page_text(self._window)).splitlines())
        known = {(element.mark, element.words) for element in shown}
        # a list of series may have such a button in each of its rows
        alike = [
            item for item in shown if item.words == first.words and _chosen([item], (DOWNLOAD,), never) is not None
        ]
        for number, button in enumerate(alike):
            before, seen = self._observations.size, len(self._window.traffic.exchanges)
            async for step in self._press(button, known, never):
                yield step
            if self._observations.size <= before + 1 and not number:
                return  # an image's file at most: no package
            if self._observations.size == before:
                self.is_partial = self.is_partial or not any(item.ok for item in self._window.traffic.exchanges[seen:])

    async def _press(self, first: PageElement, known: set[tuple[str, str]], never: re.Pattern[str]) -> Steps:
        """Press one button, and wait for what it gives."""
        before, traffic = self._observations.size, self._window.traffic
        if not await elements.click(self._window, first):
            return
        traffic.touch()  # a dialog opens without asking the site anything
        pressed, give_up, look_s = 1, time.monotonic() + self._timings.job_s, self._timings.job_look_s
        while time.monotonic() < give_up:
            silence_s = self._enough_s(is_new=self._observations.size > before)
            # a silence that goes on is looked at again
            yield Pause(min(traffic.idle_s + look_s, silence_s), look_s * 2)
            is_new = self._observations.size > before
            self.refusal = await self._refused() or self.refusal
            if not self._is_under_way(is_new=is_new):
                break
            if traffic.idle_s >= look_s and not is_new and pressed < MAX_PRESSED:
                pressed += await self._press_next(known, never, first)

    def _is_under_way(self, *, is_new: bool) -> bool:
        traffic = self._window.traffic
        return bool(traffic.busy) or traffic.idle_s < self._enough_s(is_new=is_new)

    def _enough_s(self, *, is_new: bool) -> float:
        """Seconds of silence after which nothing is being packed."""
        return self._timings.job_settled_s if is_new or self.refusal else self._timings.job_quiet_s

    async def _press_next(self, known: set[tuple[str, str]], never: re.Pattern[str], first: PageElement) -> bool:
        """Press what showed only after the first press: a menu's entry, a dialog's button, the finished package's link."""
        there = await elements.find_elements(self._window, "words")
        appeared = [mark for mark in there if (mark.mark, mark.words) not in known]
        item = _chosen(appeared, (FORMAT, DOWNLOAD, CONFIRM, LINK), never)
        if item is None and CHOOSE_FIRST.search("\n".join(await self._new_lines())):
            item = _chosen(there, (ALL,), never)
            if item is not None and (item.mark, "") not in known:
                known.add((item.mark, ""))
                return await elements.click(self._window, item) and await elements.click(self._window, first)
            return False
        if item is None:
            return False
        known.add((item.mark, item.words))
        self._window.traffic.touch()
        return await elements.click(self._window, item)

    async def _new_lines(self) -> list[str]:
        lines = (
            line.strip()
            for line in (await elements.page_text(self._window)).splitlines()
            if line not in self._lines_before
        )
        return [line for line in lines if line]

    async def _refused(self) -> CloudfilmError | None:
        """The error that new words on the page mean; None where they mean none."""
        host = self._window.traffic.host
        for line in await self._new_lines():
            detail = line[:LONGEST_DETAIL]
            if CLOSED.search(line):
                return DownloadNotPermitted(detail, host=host)
            if FAILED.search(line):
                return SiteBusy(detail, host=host, why=Reason.STUDY_NOT_PACKED)
        return None


def _chosen(
    marks: Collection[PageElement], wordings: Sequence[re.Pattern[str]], never: re.Pattern[str]
) -> PageElement | None:
    """The first mark of the first wording that any has; the shortest text first."""
    for wording in wordings:
        for item in sorted(marks, key=lambda mark: len(mark.words)):
            words = item.words
            refused = item.is_disabled or never.search(words) or NO_PACKAGE.search(words) or OTHERS.search(item.context)
            if words and len(words) <= 30 and wording.search(words) and not refused:
                return item
    return None
