"""The spool: letters we answer for, their recipients, and what came from other operators in the last days."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Make the tables of `mta.spool`."""
    op.create_table(
        "spool_item",
        sa.Column("spool_id", sa.Text, primary_key=True),
        sa.Column("accepted_at", sa.Double, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "spool_recipient",
        sa.Column("spool_id", sa.Text, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_due", sa.Double),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("reply", sa.Text, nullable=False),
        sa.Column("code", sa.Integer, nullable=False),
        sa.Column("answer", sa.LargeBinary),
        sa.Column("delay_reported", sa.Boolean, nullable=False),
    )
    op.create_index("spool_recipient_due", "spool_recipient", ["domain", "next_due"])
    op.create_table(
        "relay_seen",
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("seen_at", sa.Double, nullable=False),
    )
    op.create_index("relay_seen_age", "relay_seen", ["seen_at"])


def downgrade() -> None:
    """Take the tables away; only for a spool without letters."""
    for table in ("relay_seen", "spool_recipient", "spool_item"):
        op.drop_table(table)
