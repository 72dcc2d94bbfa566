"""The page that a phone opens to be pointed at the proxy: what to type where, the run's certificate, and how to remove both."""

from __future__ import annotations

import asyncio
import contextlib
import html
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from scraper.core.messages import say
from scraper.core.settings import Language
from scraper.session.proxy.certificate import Authority

_STYLE = (
    "body{font:18px/1.6 system-ui,sans-serif;max-width:34em;margin:0 auto;padding:1em}"
    "code{font-size:1.3em;background:#eee;padding:.1em .3em}a{display:inline-block;padding:.7em 1em;background:#0a5;"
    "color:#fff;border-radius:.4em;text-decoration:none}ol li{margin:.8em 0}"
)
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


def page_text(host: str, port: int, authority: Authority) -> str:
    """The page, in both languages: whose phone it is, nobody knows."""
    parts = []
    for language in (Language.ZH, Language.EN):
        steps = [
            say(f"listen.phone-{step}", language, host="⟦host⟧", port="⟦port⟧", name="⟦name⟧")
            for step in ("wifi", "certificate", "film", "afterwards")
        ]
        shown = [
            html.escape(step)
            .replace("⟦host⟧", f"<code>{html.escape(host)}</code>")
            .replace("⟦port⟧", f"<code>{port}</code>")
            .replace("⟦name⟧", f"<b>{html.escape(authority.name)}</b>")
            for step in steps
        ]
        button = html.escape(say("listen.phone-button", language))
        title = html.escape(say("listen.phone-title", language))
        items = "".join(f"<li>{step}</li>" for step in shown)
        parts.append(
            f'<section lang="{language.value}"><h1>{title}</h1><ol>{items}</ol>'
            f'<p><a href="cloudfilm.cer">{button}</a></p></section>'
        )
    return (
        '<!doctype html><html lang="zh"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>cloudfilm</title><style>{_STYLE}</style>{'<hr>'.join(parts)}</html>"
    )


class _Server(uvicorn.Server):
    """A server that leaves Ctrl-C to the command."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Catch none."""
        yield


@asynccontextmanager
async def served(host: str, port: int, authority: Authority) -> AsyncIterator[str]:
    """Serve the page on a free port of ``host``, whose proxy listens on ``port``; gives the page's address."""
    listening = socket.create_server((host, 0))

    async def page(request: Request) -> Response:
        del request
        return HTMLResponse(page_text(host, port, authority), headers=_HEADERS)

    async def certificate(request: Request) -> Response:
        del request
        return Response(authority.der, media_type="application/x-x509-ca-cert", headers={"Cache-Control": "no-store"})

    routes = [Route("/", page), Route("/cloudfilm.cer", certificate)]
    config = uvicorn.Config(
        Starlette(routes=routes),
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield f"http://{host}:{listening.getsockname()[1]}/"
    finally:
        server.should_exit = True
        await task
