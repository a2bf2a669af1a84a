"""The audit trail: events in one chain for each writer, partitioned by month from the first day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Make the tables of `vaguemestre.observability.audit_log`."""
    op.create_table(
        "audit_event",
        sa.Column("month", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("writer", sa.Text, primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("spool_id", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("link", sa.LargeBinary, nullable=False),
        postgresql_partition_by="RANGE (month)",
    )
    op.create_index("audit_event_chain", "audit_event", ["writer", "sequence"])
    op.create_index("audit_event_spool", "audit_event", ["spool_id"])
    op.create_index("audit_event_message", "audit_event", ["message"])
    if op.get_bind().dialect.name == "postgresql":
        # An event is never refused because its month was not prepared.
        op.execute("CREATE TABLE audit_event_other PARTITION OF audit_event DEFAULT")
    op.create_table(
        "audit_head",
        sa.Column("writer", sa.Text, primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("link", sa.LargeBinary, nullable=False),
        sa.Column("vouched", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "audit_subject",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("pseudonym", sa.Text, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
    )
    op.create_index("audit_subject_pseudonym", "audit_subject", ["pseudonym"])
    op.create_table(
        "audit_checkpoint",
        sa.Column("slot", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("line", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Take the tables away; only for a trail without events."""
    for table in ("audit_checkpoint", "audit_subject", "audit_head", "audit_event"):
        op.drop_table(table)
