"""The tables of `mailstore` as the migrations made them. A test compares them with a migrated database."""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()

VAULT_KEY = sa.Table(
    "vault_key",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("kek_id", sa.Text, nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)

BLOB = sa.Table(
    "blob",
    METADATA,
    sa.Column("blob_id", sa.Text, primary_key=True),
    sa.Column("in_file", sa.Boolean, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("refs", sa.Integer, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)

BLOB_OCTETS = sa.Table(
    "blob_octets",
    METADATA,
    sa.Column("blob_id", sa.Text, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)

BOX = sa.Table(
    "box",
    METADATA,
    sa.Column("bal_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("quota_octets", sa.BigInteger, nullable=False),
    sa.Column("used_octets", sa.BigInteger, nullable=False),
    sa.Column("last_uid_validity", sa.BigInteger, nullable=False),
    sa.Column("next_message_id", sa.BigInteger, nullable=False),
)

FOLDER = sa.Table(
    "folder",
    METADATA,
    sa.Column("folder_id", sa.BigInteger, primary_key=True),
    sa.Column("bal_id", sa.BigInteger, nullable=False),
    sa.Column("name_key", sa.Text, nullable=False),
    sa.Column("name_sealed", sa.LargeBinary, nullable=False),
    sa.Column("uid_validity", sa.BigInteger, nullable=False),
    sa.Column("uid_next", sa.BigInteger, nullable=False),
    sa.Column("highest_modseq", sa.BigInteger, nullable=False),
    sa.Column("recent_floor", sa.BigInteger, nullable=False),
    sa.Column("special_use", sa.Text, nullable=False),
)

SUBSCRIPTION = sa.Table(
    "subscription",
    METADATA,
    sa.Column("bal_id", sa.BigInteger, primary_key=True),
    sa.Column("name_key", sa.Text, primary_key=True),
    sa.Column("name_sealed", sa.LargeBinary, nullable=False),
)

MESSAGE = sa.Table(
    "message",
    METADATA,
    sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("folder_id", sa.BigInteger, nullable=False),
    sa.Column("message_id", sa.BigInteger, nullable=False),
    sa.Column("blob_id", sa.Text, nullable=False),
    sa.Column("flags", sa.SmallInteger, nullable=False),
    sa.Column("keywords", sa.Text, nullable=False),
    sa.Column("internal_date", sa.BigInteger, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("modseq", sa.BigInteger, nullable=False),
)

MESSAGE_SEALED = sa.Table(
    "message_sealed",
    METADATA,
    sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("wrapped_key", sa.LargeBinary, nullable=False),
    sa.Column("summary", sa.LargeBinary, nullable=False),
)

VANISHED = sa.Table(
    "vanished",
    METADATA,
    sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("folder_id", sa.BigInteger, nullable=False),
    sa.Column("modseq", sa.BigInteger, nullable=False),
)

SEARCH_BLOCK = sa.Table(
    "search_block",
    METADATA,
    sa.Column("bal_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("block", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)

SEARCH_MARK = sa.Table(
    "search_mark",
    METADATA,
    sa.Column("bal_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("next_message_id", sa.BigInteger, nullable=False),
    sa.Column("used_octets", sa.BigInteger, nullable=False),
    sa.Column("marked_at", sa.BigInteger, nullable=False),
)
