"""With the indexes that the guide advises, nothing on the path of a request reads a whole table of theirs."""

from __future__ import annotations

import asyncpg
import pytest

from sojourn.stores.authjs_statements import AuthJSStatements
from sojourn.stores.authjs_tables import make_ours, read_tables
from sojourn.stores.postgres_statements import Statement
from tests.docs.blocks import ROOT
from tests.stores import authjs_ddl

_GUIDE = "docs/guides/sharing-a-database-with-nextjs.md"
_VALUES = {
    "most": "10",
    "needed_from": "1",
    "expires_at": "1",
    "new_expires_at": "1",
    "expected_version": "1",
    "user_id": "NULL",
}


@pytest.mark.parametrize("layout", ["serial", "uuid"])
async def test_every_statement_has_an_index(empty_url: str, layout: str) -> None:
    await authjs_ddl.run(empty_url, authjs_ddl.LAYOUTS[layout] + authjs_ddl.INDEXES)
    connection = await asyncpg.connect(empty_url)
    try:
        await make_ours(connection)
        ask = AuthJSStatements(await read_tables(connection))
        await connection.execute("SET search_path = sojourn; SET enable_seqscan = off")
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        planned = {name: value for name, value in vars(ask).items() if isinstance(value, Statement)}
        assert len(planned) == 18
        for name, statement in planned.items():
            values = ", ".join(_VALUES.get(each, "'1'") for each in statement.names)
            await connection.execute(f'PREPARE "{name}" AS {statement.text}')
            plan = "\n".join(row[0] for row in await connection.fetch(f'EXPLAIN EXECUTE "{name}"({values})'))
            assert "Seq Scan" not in plan, f"{name}:\n{plan}"
    finally:
        await connection.close()


def test_the_guide_advises_these_indexes() -> None:
    guide = (ROOT / _GUIDE).read_text(encoding="utf-8")
    assert authjs_ddl.INDEXES.strip() in guide
