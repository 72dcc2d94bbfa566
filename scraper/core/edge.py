"""Turn exceptions over unexpected data of a site into errors about the site, at the edge where its data is read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from scraper.core.errors import CloudfilmError, CorruptInstance, SiteChanged
from scraper.core.reasons import Reason

UNREADABLE: Final = (
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    MemoryError,
    EOFError,
    AssertionError,
    struct.error,
    zlib.error,
)


@contextmanager
def reading_lists(host: str) -> Iterator[None]:
    """What is listed from here on is read from a site's answers; an error that names no host is about ``host``.

    Raises:
        SiteChanged: an answer is of a kind that nobody expected; the diagnostic names the place in our source.
    """
    try:
        yield
    except CloudfilmError as err:
        err.values.setdefault("host", host)
        raise
    except UNREADABLE as err:
        raise SiteChanged(host=host, what=Reason.ANSWER_UNREADABLE.of(error=type(err).__name__)) from err


@contextmanager
def reading_instance() -> Iterator[None]:
    """What is put together from here on is one instance, from a site's answers.

    Raises:
        CorruptInstance: an answer is of a kind that nobody expected.
    """
    try:
        yield
    except CloudfilmError:
        raise
    except UNREADABLE as err:
        raise CorruptInstance(what=Reason.ANSWER_UNREADABLE.of(error=type(err).__name__)) from err
