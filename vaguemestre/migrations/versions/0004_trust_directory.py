"""Boxes, passwords, delegations; the local copy of the health directory."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Make the tables of `trust_directory`."""
    _boxes()
    _directory()


def _boxes() -> None:
    op.create_table(
        "bal",
        sa.Column("bal_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("pseudonym", sa.String(128), nullable=False, unique=True),
        sa.Column("domain", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(3), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("quota_octets", sa.BigInteger, nullable=False),
        sa.Column("address_sealed", sa.LargeBinary, nullable=False),
        sa.Column("name_sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
    )
    op.create_index("bal_by_generation", "bal", ["generation"])
    op.create_table(
        "credential",
        sa.Column("bal_id", sa.BigInteger, sa.ForeignKey("bal.bal_id"), primary_key=True),
        sa.Column("credential_id", sa.String(16), primary_key=True),
        sa.Column("label_sealed", sa.LargeBinary, nullable=False),
        sa.Column("hash_sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("last_used_day", sa.Integer, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=True),
        sa.Column("revoked_at", sa.BigInteger, nullable=True),
    )
    op.create_table(
        "delegation",
        sa.Column("owner_bal_id", sa.BigInteger, sa.ForeignKey("bal.bal_id"), primary_key=True),
        sa.Column("delegate_bal_id", sa.BigInteger, sa.ForeignKey("bal.bal_id"), primary_key=True),
        sa.Column("granted_right", sa.String(8), primary_key=True),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("granted_by_sealed", sa.LargeBinary, nullable=False),
    )
    op.create_index("delegation_by_delegate", "delegation", ["delegate_bal_id"])
    generation = op.create_table(
        "bal_generation",
        sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(generation, [{"one": 1, "generation": 0}])


def _directory() -> None:
    op.create_table(
        "directory_generation",
        sa.Column("generation", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("in_force_at", sa.BigInteger, nullable=True),
        sa.Column("entries", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "directory_entry",
        sa.Column("generation", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("address", sa.String(320), primary_key=True),
        sa.Column("entry_key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("content", sa.BigInteger, nullable=False),
        sa.Column("written_address", sa.String(320), nullable=False),
        sa.Column("kind", sa.String(3), nullable=False),
        sa.Column("rpps", sa.String(11), nullable=False),
        sa.Column("adeli", sa.String(32), nullable=False),
        sa.Column("finess", sa.String(9), nullable=False),
        sa.Column("siret", sa.String(14), nullable=False),
        sa.Column("family_name", sa.String(255), nullable=False),
        sa.Column("given_name", sa.String(255), nullable=False),
        sa.Column("family_key", sa.String(255), nullable=False),
        sa.Column("profession", sa.String(255), nullable=False),
        sa.Column("speciality", sa.String(255), nullable=False),
        sa.Column("structure", sa.String(255), nullable=False),
        sa.Column("service", sa.String(255), nullable=False),
        sa.Column("postal_code", sa.String(10), nullable=False),
        sa.Column("city", sa.String(255), nullable=False),
        sa.Column("is_red_listed", sa.Boolean, nullable=False),
    )
    for column in ("rpps", "finess", "family_key"):
        said = sa.text(f"{column} <> ''")
        op.create_index(f"directory_entry_by_{column}", "directory_entry", ["generation", column],
                        sqlite_where=said, postgresql_where=said)  # fmt: skip


def downgrade() -> None:
    """Take the tables away; only for a node without boxes."""
    for table in (
        "directory_entry",
        "directory_generation",
        "bal_generation",
        "delegation",
        "credential",
        "bal",
    ):
        op.drop_table(table)
