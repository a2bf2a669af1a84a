"""Named points between two durable steps, where a test (or the demo) may stop the process.

What it is: the closed list of points and the callable that is told of each. What it is not: a hook for
behaviour; in operation the callable does nothing. Start at `Checkpoint`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable


class Checkpoint(enum.Enum):
    """One name for each gap in which a crash must lose nothing and double nothing."""

    DATA_RECEIVED = "data.received"
    SPOOL_COMMITTED = "spool.committed"  # after the commit, before 250
    LOCAL_PREPARED = "local.prepared"
    LOCAL_COMMITTED = "local.committed"
    RELAY_CONNECTED = "relay.connected"
    RELAY_DATA_SENT = "relay.data-sent"
    RELAY_ANSWERED = "relay.answered"  # the peer said 250, our outcome is not committed yet
    RELAY_COMMITTED = "relay.committed"
    REPORT_COMMITTED = "report.committed"


Checkpoints = Callable[[Checkpoint], None]


def pass_by(checkpoint: Checkpoint) -> None:
    """The checkpoints of operation: nothing happens."""
