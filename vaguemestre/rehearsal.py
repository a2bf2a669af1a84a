"""Dies at a named checkpoint, as a power cut would: for the demo and for crash tests, refused in production."""

from __future__ import annotations

import os
import signal

from core.errors import ConfigurationError
from mta.checkpoints import Checkpoint, Checkpoints, pass_by
from vaguemestre.config.schema import RehearsalSettings


def checkpoints_of(settings: RehearsalSettings) -> Checkpoints:
    """What is called at each checkpoint. Raises ConfigurationError for a name that does not exist."""
    if not settings.stop_at:
        return pass_by
    try:
        wanted = Checkpoint(settings.stop_at)
    except ValueError as error:
        names = ", ".join(point.value for point in Checkpoint)
        raise ConfigurationError(f"rehearsal.stop_at must be one of: {names}") from error
    passages = 0

    def stop(checkpoint: Checkpoint) -> None:
        nonlocal passages
        if checkpoint is wanted:
            passages += 1
            if passages >= settings.stop_after:
                os.kill(os.getpid(), signal.SIGKILL)

    return stop
