"""What `mailstore` asks of the database beside the committer: a connection that reads."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol


class ReadDatabase(Protocol):
    """Implemented by `vaguemestre.database.Database`."""

    def read(self, *, snapshot: bool = False) -> AbstractAsyncContextManager[Any]:
        """A connection that only reads; with `snapshot` all its statements see the same moment."""
        ...
