"""A ChangeFeed in memory: calls the wakers at once, in the order of subscription."""

from __future__ import annotations

from collections.abc import Callable


class MemoryFeed:
    """Implements `core.ports.ChangeFeed`."""

    def __init__(self) -> None:
        self._wakers: dict[int, dict[int, Callable[[], None]]] = {}
        self._next = 0

    def subscribe(self, folder_id: int, wake: Callable[[], None]) -> Callable[[], None]:
        """See the port."""
        self._next += 1
        number = self._next
        self._wakers.setdefault(folder_id, {})[number] = wake

        def unsubscribe() -> None:
            self._wakers.get(folder_id, {}).pop(number, None)

        return unsubscribe

    def publish(self, folder_id: int) -> None:
        """See the port."""
        for wake in list(self._wakers.get(folder_id, {}).values()):
            wake()

    @property
    def subscribers(self) -> int:
        """How many wait, over all folders."""
        return sum(len(wakers) for wakers in self._wakers.values())
