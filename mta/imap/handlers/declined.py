"""How a handler stops: the command is refused, or the conversation is over."""

from __future__ import annotations

from mta.imap.responses.status_text import StatusText


class Declined(Exception):
    """The answer to this command is this text (NO or BAD)."""

    def __init__(self, text: StatusText) -> None:
        super().__init__(text.code)
        self.text = text


class Ended(Exception):
    """The connection is gone or was told BYE; nothing more is answered."""
