"""The few kinds of error that travel between rooms.

What it is: one class per *meaning*: try again (`TemporaryError`), never (`PermanentError`), and whose fault
a broken protocol is. What it is not: a catalogue of causes; a foreign exception is translated into one of
these at the door of the package that met it. Start at `GatewayError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.reply import Reply


class GatewayError(Exception):
    """Root of every error we raise on purpose. Anything else that leaves a room is a bug."""


class TemporaryError(GatewayError):
    """It may work later: the letter waits. Unknown causes are of this kind."""


class PermanentError(GatewayError):
    """It will never work as it is: the letter is refused or reported."""


class ProtocolError(GatewayError):
    """A protocol was broken; use one of the two subclasses, which say by whom."""


class LocalProtocolError(ProtocolError):
    """Our own caller broke the protocol: a bug on our side."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol."""


class ConfigurationError(GatewayError):
    """The operator must change a setting; the program ends with exit status 78 (EX_CONFIG)."""


class StoreError(TemporaryError):
    """The database or the blob folder could not do it now."""


class NotStored(GatewayError):
    """The thing asked for is not in the store (an unknown mailbox, message or item)."""


class ReplyError(GatewayError):
    """An error that already knows its reply. The peer reads the reply, the log reads the cause."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.name)
        self.reply = reply


class StoreFull(StoreError, ReplyError):
    """No room left on the disk. Raised with `reply.STORAGE_FULL`."""


class FatalStoreError(GatewayError):
    """The disk said no to an fsync, or the database is damaged: what is durable is not known any more.

    The program ends; it never tries again in the same life.
    """
