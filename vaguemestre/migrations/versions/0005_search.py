"""The secret index: sealed blocks of words of a box, and how far each box was looked at."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Make the tables; the background fills them from the letters."""
    op.create_table(
        "search_block",
        sa.Column("bal_id", sa.BigInteger, sa.ForeignKey("box.bal_id", ondelete="CASCADE"), primary_key=True),
        sa.Column("block", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "search_mark",
        sa.Column(
            "bal_id",
            sa.BigInteger,
            sa.ForeignKey("box.bal_id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("next_message_id", sa.BigInteger, nullable=False),
        sa.Column("used_octets", sa.BigInteger, nullable=False),
        sa.Column("marked_at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Take the index away: everything in it can be made again."""
    for table in ("search_mark", "search_block"):
        op.drop_table(table)
