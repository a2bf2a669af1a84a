"""`vaguemestre serve`: run one operator."""

from __future__ import annotations

import typer

from vaguemestre.cli.config import DEFAULT_CONFIG, ConfigFile
from vaguemestre.config.load import load
from vaguemestre.config.schema import Configuration


def serve(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Open the doors that the configuration names, and serve until SIGTERM.

    SIGHUP reloads certificates, revocation lists and the trust list without closing a session. Exit status: 0
    after a drain, 78 when a setting is wrong (one line says which), 74 when the disk cannot be trusted any more.
    """
    from vaguemestre.supervise import serve as live

    raise typer.Exit(live(load(config, Configuration)))
