"""Serves an ASGI app on a free port of this machine, in a thread of its own."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn

from fixtures.world import ThreadServer


@contextlib.contextmanager
def served(app, **options) -> Iterator[int]:
    """The port, for as long as the block lasts; ``options`` are uvicorn's."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, ws="wsproto", log_level="critical", lifespan="off", timeout_graceful_shutdown=1, **options
    )
    server = ThreadServer(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()
