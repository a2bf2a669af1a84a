"""Who wants to know that a folder changed, in this process.

What it is: `LocalFeed`, which implements `core.ports.ChangeFeed`. What it is not: the news of other nodes. A wake
tells nothing but "look": the session reads what changed by modification sequence.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

_log = structlog.get_logger()


class LocalFeed:
    """Wakes the sessions of one process."""

    def __init__(self) -> None:
        self._wakes: dict[int, dict[object, Callable[[], None]]] = {}

    def subscribe(self, folder_id: int, wake: Callable[[], None]) -> Callable[[], None]:
        """See `core.ports.ChangeFeed.subscribe`. The result may be called twice."""
        token = object()
        self._wakes.setdefault(folder_id, {})[token] = wake

        def unsubscribe() -> None:
            wakes = self._wakes.get(folder_id)
            if wakes is not None and wakes.pop(token, None) is not None and not wakes:
                del self._wakes[folder_id]

        return unsubscribe

    def publish(self, folder_id: int) -> None:
        """See `core.ports.ChangeFeed.publish`. One session's failure does not keep the news from the others."""
        for wake in list(self._wakes.get(folder_id, {}).values()):
            try:
                wake()
            except Exception as error:  # noqa: BLE001 - a session's bug must not stop the writer
                _log.error("wake-failed", component="mailstore", error=type(error).__name__)

    def watched(self) -> int:
        """How many folders are watched (a gauge)."""
        return len(self._wakes)
