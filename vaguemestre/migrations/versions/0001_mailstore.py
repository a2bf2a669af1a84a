"""Mail at rest: wrapped keys, sealed octets, boxes, folders, messages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # so that SQLite counts it itself


def upgrade() -> None:
    """Make the tables of `mailstore`."""
    op.create_table(
        "vault_key",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("kek_id", sa.Text, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "blob",
        sa.Column("blob_id", sa.Text, primary_key=True),
        sa.Column("in_file", sa.Boolean, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("refs", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_index("blob_unreferred", "blob", ["created_at"], postgresql_where=sa.text("refs <= 0"),
                    sqlite_where=sa.text("refs <= 0"))  # fmt: skip
    op.create_table(
        "blob_octets",
        sa.Column("blob_id", sa.Text, primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    _boxes()
    _messages()


def _boxes() -> None:
    op.create_table(
        "box",
        sa.Column("bal_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("quota_octets", sa.BigInteger, nullable=False),
        sa.Column("used_octets", sa.BigInteger, nullable=False),
        sa.Column("last_uid_validity", sa.BigInteger, nullable=False),
        sa.Column("next_message_id", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "folder",
        sa.Column("folder_id", BIG_KEY, primary_key=True, autoincrement=True),
        sa.Column("bal_id", sa.BigInteger, sa.ForeignKey("box.bal_id"), nullable=False),
        sa.Column("name_key", sa.Text, nullable=False),
        sa.Column("name_sealed", sa.LargeBinary, nullable=False),
        sa.Column("uid_validity", sa.BigInteger, nullable=False),
        sa.Column("uid_next", sa.BigInteger, nullable=False),
        sa.Column("highest_modseq", sa.BigInteger, nullable=False),
        sa.Column("recent_floor", sa.BigInteger, nullable=False),
        sa.Column("special_use", sa.Text, nullable=False),
        sa.UniqueConstraint("bal_id", "name_key", name="folder_name"),
        sqlite_autoincrement=True,  # a folder's number is never given twice: seals are bound to it
    )
    op.create_table(
        "subscription",
        sa.Column("bal_id", sa.BigInteger, sa.ForeignKey("box.bal_id"), primary_key=True),
        sa.Column("name_key", sa.Text, primary_key=True),
        sa.Column("name_sealed", sa.LargeBinary, nullable=False),
    )


def _messages() -> None:
    op.create_table(
        "message",
        sa.Column("place", BIG_KEY, primary_key=True, autoincrement=False),
        sa.Column("folder_id", sa.BigInteger, sa.ForeignKey("folder.folder_id"), nullable=False),
        sa.Column("message_id", sa.BigInteger, nullable=False),
        sa.Column("blob_id", sa.Text, nullable=False),
        sa.Column("flags", sa.SmallInteger, nullable=False),
        sa.Column("keywords", sa.Text, nullable=False),
        sa.Column("internal_date", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("modseq", sa.BigInteger, nullable=False),
    )
    op.create_index("message_modseq", "message", ["folder_id", "modseq"])
    op.create_table(
        "message_sealed",
        sa.Column("place", BIG_KEY, primary_key=True, autoincrement=False),
        sa.Column("wrapped_key", sa.LargeBinary, nullable=False),
        sa.Column("summary", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "vanished",
        sa.Column("place", BIG_KEY, primary_key=True, autoincrement=False),
        sa.Column("folder_id", sa.BigInteger, sa.ForeignKey("folder.folder_id"), nullable=False),
        sa.Column("modseq", sa.BigInteger, nullable=False),
    )
    op.create_index("vanished_modseq", "vanished", ["folder_id", "modseq"])


def downgrade() -> None:
    """Take the tables away; only for a database without letters."""
    for table in ("vanished", "message_sealed", "message", "subscription", "folder", "box", "blob_octets",
                  "blob", "vault_key"):  # fmt: skip
        op.drop_table(table)
