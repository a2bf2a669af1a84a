"""Both engines: the schema is checked, never made in silence; reads see one moment; errors are ours."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from core.errors import ConfigurationError, StoreError
from mailstore.storage.tables import METADATA
from vaguemestre.database import Database, check_schema, migrate


async def test_a_migrated_database_passes_the_check_and_a_second_migration_changes_nothing(
    database: Database,
) -> None:
    await check_schema(database)
    await migrate(database)
    await check_schema(database)


async def test_a_database_that_lacks_a_migration_is_refused_with_the_command_that_helps(
    database: Database,
) -> None:
    await database.run(lambda c: c.exec_driver_sql("DELETE FROM alembic_version"))
    with pytest.raises(ConfigurationError, match="vaguemestre init"):
        await check_schema(database)


async def test_a_database_of_a_later_version_is_refused_and_not_migrated(database: Database) -> None:
    await database.run(lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match="later version"):
        await check_schema(database)
    with pytest.raises(ConfigurationError, match="later version"):
        await migrate(database)


async def test_a_snapshot_sees_one_moment(database: Database) -> None:
    insert = "INSERT INTO vault_key VALUES ('{}', 'k', 'x', 1)"
    await database.run(lambda c: c.exec_driver_sql(insert.format("first")))
    async with database.read(snapshot=True) as connection:
        count = "SELECT count(*) FROM vault_key"
        before = (await connection.exec_driver_sql(count)).scalar()
        await database.run(lambda c: c.exec_driver_sql(insert.format("second")))
        assert (await connection.exec_driver_sql(count)).scalar() == before == 1
    async with database.read() as connection:
        assert (await connection.exec_driver_sql(count)).scalar() == 2


async def test_a_failing_block_leaves_nothing_and_the_error_is_ours(database: Database) -> None:
    insert = "INSERT INTO vault_key VALUES ('a', 'k', 'x', 1)"
    with pytest.raises(StoreError):
        await database.run(lambda c: (c.exec_driver_sql(insert), c.exec_driver_sql(insert)))
    async with database.read() as connection:
        assert (await connection.exec_driver_sql("SELECT count(*) FROM vault_key")).scalar() == 0


async def test_a_reader_that_goes_away_at_any_moment_leaves_no_old_view_behind(database: Database) -> None:
    async def read() -> None:
        async with database.read(snapshot=True) as connection:
            for _ in range(3):
                await connection.exec_driver_sql("SELECT count(*) FROM vault_key")

    for moment in range(25):
        leaving = [asyncio.ensure_future(read()) for _ in range(4)]
        for _ in range(moment):
            await asyncio.sleep(0)
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        insert = f"INSERT INTO vault_key VALUES ('k{moment}', 'k', 'x', 1)"
        await database.run(lambda c, insert=insert: c.exec_driver_sql(insert))
        for _ in range(4):  # every reader of the pool
            async with database.read() as connection:
                count = (await connection.exec_driver_sql("SELECT count(*) FROM vault_key")).scalar()
                assert count == moment + 1


async def test_the_tables_of_the_code_are_those_of_the_migrations(database: Database) -> None:
    def columns(connection: sa.Connection) -> dict[str, set[tuple[str, bool, bool]]]:
        inspector = sa.inspect(connection)
        return {
            name: {
                (column["name"], column["nullable"], isinstance(column["type"], sa.LargeBinary))
                for column in inspector.get_columns(name)
            }
            for name in METADATA.tables
        }

    async with database.read() as connection:
        migrated = await connection.run_sync(columns)
    assert migrated == {
        name: {
            (column.name, bool(column.nullable), isinstance(column.type, sa.LargeBinary))
            for column in table.columns
        }
        for name, table in METADATA.tables.items()
    }
