"""A storage service (C-STORE SCP) of our own that receives what a C-MOVE requested."""

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
    """The port can't be listened on."""


@contextmanager
def listening(title: str, port: int, timeout_s: float, landing: StoreReceiver) -> Iterator[None]:
    """Listen for the duration of one C-MOVE: every storage class, in any proposed syntax.

    Objects that were not requested are rejected by their UID (``StoreReceiver.store``).

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

    handlers: list[Any] = [(evt.EVT_REQUESTED, welcome), (evt.EVT_C_STORE, landing.store), (evt.EVT_C_ECHO, _echo)]
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
    """Accept every proposed storage class, private and retired ones too, in the archive's first suitable syntax.

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
