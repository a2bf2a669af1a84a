"""The schema version that `serve` checks by file names is the one that alembic walks to."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

import vaguemestre.migrations
from vaguemestre.database import revisions


def test_file_names_say_what_alembic_says() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(str(vaguemestre.migrations.__path__[0]))))
    scripts = ScriptDirectory.from_config(config)
    walked = [script.revision for script in scripts.walk_revisions()]
    assert list(revisions()) == list(reversed(walked))
    assert scripts.get_heads() == [revisions()[-1]]
