"""The logger of the program, ``logging.getLogger("cloudfilm")``; nothing that is logged names a patient or opens a study."""

from __future__ import annotations

import logging
from typing import Final

NAME: Final = "cloudfilm"
logger: Final = logging.getLogger(NAME)
logger.addHandler(logging.NullHandler())  # who uses the library decides what becomes of it


def quiet_libraries() -> None:
    """In a process of our own, silence libraries that log values of files and of the network: a patient's name may be one.

    A program that only imports us decides about these loggers itself.
    """
    for name in ("pydicom", "pynetdicom"):
        library = logging.getLogger(name)
        library.addHandler(logging.NullHandler())
        library.propagate = False
