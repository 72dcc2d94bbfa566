"""A storage service of our own, to which an archive sends what a C-MOVE asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pynetdicom import AE, build_context, evt, register_uid
from pynetdicom.service_class import ServiceClass, StorageServiceClass, VerificationServiceClass
from pynetdicom.sop_class import uid_to_service_class

from scraper.session.dimse.status import SUCCESS

if TYPE_CHECKING:
    from pynetdicom.presentation import PresentationContext

    from scraper.session.dimse.receive import StoreReceiver


class PortTaken(Exception):
    """This computer gives no such port to listen at."""


@contextmanager
def listening(title: str, port: int, timeout_s: float, landing: StoreReceiver) -> Iterator[None]:
    """Listen as long as one C-MOVE takes: every storage class, in whatever syntax is proposed.

    What was not asked for is turned away by its UID (``StoreReceiver.store``).

    Raises:
        PortTaken: it can't.
    """
    entity = AE(title)
    entity.require_called_aet = True
    entity.maximum_associations = 4
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = timeout_s
    entity.add_supported_context("1.2.840.10008.1.1")  # an archive may verify first (C-ECHO)

    def welcome(event: evt.Event) -> None:
        landing.callers += 1
        request = event.assoc.requestor.primitive
        proposed = request.presentation_context_definition_list if request is not None else []
        event.assoc.acceptor.supported_contexts = _supported(proposed, landing.syntaxes)

    handlers: list[Any] = [
        (evt.EVT_REQUESTED, welcome),
        (evt.EVT_C_STORE, landing.store),
        (evt.EVT_C_ECHO, _echo),
    ]
    try:
        server = entity.start_server(("0.0.0.0", port), block=False, evt_handlers=handlers)  # noqa: S104  # the archive comes from outside
    except OSError as err:
        raise PortTaken(type(err).__name__) from err
    try:
        yield
    finally:
        if server is not None:
            server.shutdown()


def _supported(proposed: Iterable[PresentationContext], first: Sequence[str]) -> list[PresentationContext]:
    """Every storage class that is proposed, also private and retired ones; the archive's first syntax that fits is taken.

    Args:
        proposed: by the archive.
        first: Transfer Syntaxes to prefer.
    """
    syntaxes: dict[str, list[str]] = {}
    for context in proposed:
        uid = str(context.abstract_syntax)
        service = uid_to_service_class(uid)
        if service is ServiceClass:  # one that the library does not know
            register_uid(uid, f"StorageClass_{uid.replace('.', '_')}", StorageServiceClass)
        elif service not in (StorageServiceClass, VerificationServiceClass):
            continue
        syntaxes.setdefault(uid, []).extend(str(syntax) for syntax in context.transfer_syntax)
    return [
        build_context(uid, list(dict.fromkeys((*(text for text in first if text in offered), *offered))))
        for uid, offered in syntaxes.items()
    ]


def _echo(event: evt.Event) -> int:
    del event
    return SUCCESS
