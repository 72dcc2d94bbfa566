"""Row 7, the whole program: 250 MB of small lists, sent to a provider that asks or to a viewer's page, fill no memory."""

import asyncio

import pytest

from scraper.core.errors import ExitCode
from scraper.core.settings import BrowserUse, ConnectTo, Settings
from scraper.pipeline.run import Run
from scraper.session.browser import find_browser
from scraper.testing import Silent, first_of, nobody
from tests.security.memory import MB, MOST, peak_of_all_processes
from tests.security.test_hostile_addresses import answer, server

ENDS_S = 500.0
PAGE = b"""<!doctype html><title>viewer</title><canvas width=600 height=600></canvas><script>
fetch("/api/series").then(one => one.json()).then(one => { document.title = one.length; });
</script>"""
PIECE = b'[{"a":[1]}],' * (MB // 12)


async def send_lists(writer: asyncio.StreamWriter, *, has_length: bool) -> None:
    count = 250 * MB // len(PIECE)
    end = b"[]]"
    length = f"Content-Length: {1 + count * len(PIECE) + len(end)}" if has_length else "Transfer-Encoding: chunked"
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{length}\r\nConnection: close\r\n\r\n".encode())
    for piece in (b"[", *(PIECE for _ in range(count)), end):
        writer.write(piece if has_length else b"%x\r\n%s\r\n" % (len(piece), piece))
        await writer.drain()
    writer.write(b"" if has_length else b"0\r\n\r\n")


@pytest.mark.parametrize("has_length", first_of([True, False]), ids=["its length said", "in chunks"])
@pytest.mark.parametrize(
    ("link", "use"),
    [
        ("http://film.test/dicom-web/studies/1.2.3.4", BrowserUse.NEVER),
        pytest.param(
            "http://film.test/v/1",
            BrowserUse.AUTO,
            marks=[
                pytest.mark.thorough,
                pytest.mark.skipif(find_browser() is None, reason="no browser on this machine"),
            ],
        ),
    ],
    ids=["asked directly", "in a viewer's page"],
)
async def test_hostile_7_small_lists_fill_no_memory(link, use, has_length, tmp_path):
    sent = 0

    async def site(head: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        if head.startswith(b"GET /v/1 "):
            writer.write(answer(PAGE, "Content-Type: text/html"))
        elif b"favicon" in head:
            writer.write(answer(b"", status="404 Not Found"))
        else:
            sent += 1
            await send_lists(writer, has_length=has_length)

    provider = "dicomweb" if use is BrowserUse.NEVER else "universal"
    with peak_of_all_processes() as peak:
        async with server(site) as port, asyncio.timeout(ENDS_S):
            rows = (ConnectTo.parse(f"film.test::127.0.0.1:{port}"),)
            settings = Settings(
                output=tmp_path, connect_to=rows, timeout_s=20, browser=use, give_up_s=20.0, provider=provider
            )
            async with Run(settings, Silent(), nobody) as pipeline:
                result = await pipeline.grab(link)
    assert sent
    assert result.exit_code == ExitCode.SITE, result.error
    assert peak.size < MOST, f"{peak.size >> 20} MB"
