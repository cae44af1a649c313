"""Databases and environments that mean no good: nothing of the operator's reaches them, and they cost it little."""

import asyncio
from pathlib import Path

import pytest
from tests.ledger.desk import BTC, ETH, Desk, canonical, correction, exit_of, fill, nothing
from tests.ledger.test_losses import until
from tests.ledger.wire import wire_to
from tests.support.postgres import HOST, ROLE, Postgres

from accountsync.bot.ledger import believing, pool
from accountsync.bot.ledger.pool import Pools
from accountsync.domain.account import OrderStatus, Side
from accountsync.domain.ledger import Handler, Written
from accountsync.errors import BeliefUnobserved, LedgerReason, LedgerUnreadable, Reason
from accountsync.ports import LockedLedger

TYPES = ("numeric", "integer", "bigint", "text", "varchar")
OPERATORS = ("+", "-", "*", "<", ">", ">=", "=", "||")
FUNCTIONS = {
    "left": "text, bigint", "abs": "integer", "floor": "integer", "md5": "varchar", "scale": "integer",
    "octet_length": "varchar", "chr": "bigint", "trim_scale": "integer", "set_config": "varchar, varchar, boolean",
    "pg_advisory_xact_lock": "smallint", "pg_try_advisory_xact_lock": "smallint", "now": "text DEFAULT ''",
}  # fmt: skip


def hostile(schema: str) -> str:
    """Operators and functions for all mixed types there are here, each of which fails when it is called."""
    made: list[str] = []
    for number, (left, right) in enumerate((a, b) for a in TYPES for b in TYPES if a != b):
        name = f"{schema}.evil_{number}"
        body = f"$$ BEGIN RAISE EXCEPTION 'evil {left} {right}'; END $$"
        made.append(f"CREATE FUNCTION {name}({left}, {right}) RETURNS boolean LANGUAGE plpgsql AS {body}")
        made += [
            f"CREATE OPERATOR {schema}.{sign} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = {name})"
            for sign in OPERATORS
        ]
    made += [
        f"CREATE FUNCTION {schema}.{name}({types}) RETURNS text LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION 'evil {name}'; END $$"
        for name, types in FUNCTIONS.items()
    ]
    return "; ".join(made)


@pytest.mark.parametrize("where", ["public", "the ledger's own schema"])
async def test_operators_and_functions_that_somebody_made_are_never_ours(
    victim: Postgres, pools: Pools, where: str
) -> None:
    desk = Desk.opened(victim)
    desk.run(
        "ALTER TABLE slices DROP CONSTRAINT slices_quantity_check, DROP CONSTRAINT slices_check,"
        " ALTER quantity TYPE bigint USING quantity * 4; ALTER TABLE orders ALTER price TYPE bigint;"
        " ALTER TABLE capital_ledger ALTER realised_pnl TYPE bigint"
    )
    schema = "public" if where == "public" else desk.schema
    victim.run(f"GRANT CREATE, USAGE ON SCHEMA public TO {ROLE}")
    victim.run(hostile(schema), path="pg_catalog")
    ledger = desk.ledger(pools)
    try:
        assert (await ledger.read()).positions
        async with ledger.locked(canonical) as held:
            rows = {row.trade_id: row async for batch in held.slices([BTC, ETH]) for row in batch}
            (entry,) = await held.orders([(BTC, "9", "")])
            assert await held.booked([(BTC, "9", "")]) == ()
            assert await held.trade_orders([(BTC, "t9")])
            bought = fill(1, BTC, Side.BUY, "1", 50_000, order="9")
            opened = correction(Handler.ENTRY_FILL, entry, "1", OrderStatus.OPEN, bought)
            assert await held.correct(opened, nothing) is Written.APPLIED
            sold = fill(2, BTC, Side.SELL, "2", 61_000)
            assert await held.close(exit_of(rows["t1"], sold), nothing) is Written.APPLIED
    finally:
        if schema == "public":
            victim.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")


async def test_nothing_of_the_operators_environment_reaches_a_database(
    pools: Pools, monkeypatch: pytest.MonkeyPatch, postgres: Postgres, tmp_path: Path
) -> None:
    told: list[bytes] = []

    async def asking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Wants the password in clear text, and notes all that comes."""
        length = int.from_bytes(await reader.readexactly(4), "big")
        told.append(await reader.readexactly(length - 4))
        writer.write(b"R\0\0\0\x08\0\0\0\x03")
        told.append(await reader.read())
        writer.close()

    service = tmp_path / "services"
    service.write_text("[own]\npassword=hushed\noptions=-chushed=1\n")
    for name, value in {
        "PGPASSWORD": "hushed", "PGOPTIONS": "-chushed=1", "PGREQUIREAUTH": "scram-sha-256", "PGSSLMODE": "verify-full",
        "PGSSLCERT": "/hushed", "PGSSLKEY": "/hushed", "PGSSLROOTCERT": "/hushed", "PGSSLCRL": "/hushed",
        "PGSSLMINPROTOCOLVERSION": "hushed", "PGAPPNAME": "hushed", "PGCONNECT_TIMEOUT": "hushed",
        "PGCLIENTENCODING": "hushed", "PGTARGETSESSIONATTRS": "hushed", "PGSERVICEFILE": str(service),
        "PGSERVICE": "own", "PGCHANNELBINDING": "require", "PGMINPROTOCOLVERSION": "hushed", "PGUSER": "hushed",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    server = await asyncio.start_server(asking, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        ledger = Desk(postgres, "x").ledger(
            pools, dsn=lambda: f"postgresql://u@{HOST}:{port}/d?sslmode=disable", timeout=5
        )
        with pytest.raises(BeliefUnobserved, match="does not let the DSN's user in"):
            await ledger.read()
        await until_told(told)
    assert b"user\0u\0" in told[0]
    assert told[1] == b""
    assert b"hushed" not in b"".join(told)


async def until_told(told: list[bytes]) -> None:
    async with asyncio.timeout(10):
        while len(told) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


LONG_TEXT = "repeat('x', 1000000)"


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (f"UPDATE slices SET trade_id = {LONG_TEXT} WHERE trade_id = 't1'", "trade_id must be at most 256 octets"),
        (f"UPDATE slices SET sub_tag = {LONG_TEXT} WHERE trade_id = 't1'", "sub_tag must be at most 256 octets"),
        (f"UPDATE slices SET symbol = {LONG_TEXT} WHERE trade_id = 't1'", "symbol must be at most 256 octets"),
        (f"UPDATE orders SET client_order_id = {LONG_TEXT} WHERE order_key = 'o1'", "client_order_id must be at most"),
        (f"UPDATE orders SET status = {LONG_TEXT} WHERE order_key = 'o1'", "status must be at most 256 octets"),
        ("UPDATE orders SET price = ('1e' || 100000)::numeric WHERE order_key = 'o1'", "price must be a number"),
    ],
)
async def test_a_value_that_is_too_long_is_named_and_never_fetched(
    postgres: Postgres, pools: Pools, statement: str, message: str
) -> None:
    desk = Desk.opened(postgres, bare=True)
    async with wire_to(postgres) as wire:
        ledger = desk.ledger(pools, dsn=wire.dsn)
        assert (await ledger.read()).orders
        desk.run(statement)
        with pytest.raises(BeliefUnobserved, match=message):
            await ledger.read()
        async with ledger.locked(canonical) as held:
            with pytest.raises(LedgerUnreadable, match=message) as caught:
                await (all_slices(held) if "slices" in statement else held.orders([(BTC, "9", "")]))
        assert caught.value.reason is LedgerReason.MALFORMED
        assert 0 < wire.carried < 50_000


async def all_slices(held: LockedLedger) -> list[object]:
    return [batch async for batch in held.slices()]


async def test_symbols_without_end_are_too_many(postgres: Postgres, pools: Pools) -> None:
    desk = Desk.opened(postgres)
    desk.run(
        "INSERT INTO slices SELECT 'grid', 'x' || n, '', 'S' || n, 'long', '', 1, 1, 'open', now(), NULL, now()"
        f" FROM generate_series(1, {believing.MAX_SYMBOLS}) n"
    )
    with pytest.raises(BeliefUnobserved, match="of more than 5000 symbols") as caught:
        await desk.ledger(pools, timeout=30).read()
    assert caught.value.reason is Reason.STATE_TOO_LARGE


async def test_a_pool_in_use_is_kept_and_one_that_nobody_asks_for_any_more_is_closed(
    postgres: Postgres, pools: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.05)
    desk = Desk.opened(postgres)
    mine = postgres.dsn() + "&application_name=swept"
    ledger = desk.ledger(pools, dsn=lambda: mine)
    connected = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'swept'"
    async with ledger.locked(canonical) as held:
        used = pools.known()
        await desk.ledger(pools).read()
        await asyncio.sleep(0.3)  # several sweeps
        assert used <= pools.known()
        assert await held.used([(BTC, "f-0")]), "and it serves on"
        assert postgres.run(connected)
    await until(postgres, f"SELECT 1 WHERE NOT EXISTS ({connected})")
    async with asyncio.timeout(10):
        while pools.known():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
