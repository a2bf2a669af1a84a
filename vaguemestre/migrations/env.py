"""Alembic's door: runs the scripts of `versions/` on the connection that `vaguemestre.database.migrate` gives.

What it is not: a place for tables; each script under `versions/` says its own. There is no offline mode, and the
command line is `vaguemestre`, not `alembic`.
"""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
