"""A ledger that is not of the documented form is Unknown, and says which row and column; nothing of it is judged."""

import asyncio

import pytest
from tests.ledger.desk import SOURCE, Desk, canonical
from tests.support.postgres import ROLE, Postgres

from accountsync.bot.ledger.believing import MAX_ACTIVE_ORDERS
from accountsync.bot.ledger.pool import Pools
from accountsync.errors import AccountSyncError, BeliefUnobserved, LedgerReason, LedgerUnreadable, Reason

SET = "UPDATE slices SET {} WHERE trade_id = 't1'"
PUT = "UPDATE orders SET {} WHERE order_key = 'o1'"
BAD = {
    SET.format("quantity = NULL"): "slices, row t1: quantity must be a number",
    SET.format("quantity = -1"): "slices, row t1: quantity must be a number",
    SET.format("quantity = 'NaN'"): "slices, row t1: quantity must be a number",
    SET.format("quantity = 'Infinity'"): "slices, row t1: quantity must be a number",
    SET.format("quantity = 1e20"): "slices, row t1: quantity must be a number",
    SET.format("quantity = 1e-19"): "slices, row t1: quantity must be a number",
    SET.format("symbol = NULL"): "slices, row t1: symbol must not be empty",
    SET.format("symbol = 'BTC USDT'"): "slices, row t1: symbol must be 1 to 64 characters without spaces",
    SET.format("side = 'LONG'"): "slices, row t1: side must be long or short",
    SET.format("status = 'closing'"): "slices, row t1: status must be open or closed",
    SET.format("status = NULL"): "slices, row t1: status must be open or closed",
    SET.format("opened_at = NULL"): "slices, row t1: opened_at must not be NULL",
    SET.format("trade_id = NULL"): r"slices, row None: trade_id must not be empty",
    SET.format("trade_id = 't2'"): "slices, row t2: trade_id is that of several open slices",
    PUT.format("client_order_id = 'c-8'"): "orders, row o2: client_order_id is that of several open orders",
    PUT.format("order_key = 'o2'"): "orders, row o2: order_key is that of several open orders",
    PUT.format("client_order_id = NULL, exchange_order_id = ''"): "row o1: an open order needs a client_order_id or",
    PUT.format("quantity = NULL"): "orders, row o1: quantity must be a number",
    PUT.format("filled = -0.1"): "orders, row o1: filled must be a number",
    PUT.format("price = 'NaN'"): "orders, row o1: price must be a number",
    PUT.format("side = 'long'"): "orders, row o1: side must be buy or sell",
    PUT.format("purpose = NULL"): "orders, row o1: purpose must be entry or exit",
    PUT.format("status = 'new'"): "orders, row o1: status must be one of open",
    PUT.format("symbol = ''"): "orders, row o1: symbol must be 1 to 64 characters",
    "INSERT INTO heartbeat VALUES ('grid', NULL, 'b1', true)": "heartbeat, row b1: as_of must not be NULL",
    "INSERT INTO heartbeat VALUES ('grid', now(), 'b1', NULL)": "heartbeat, row b1: ready must not be NULL",
    "INSERT INTO heartbeat VALUES ('grid', now(), 'b1', true), ('grid', now(), 'b2', true)": "one of several",
}


@pytest.fixture(scope="module")
def bare(postgres: Postgres) -> Desk:
    """Tables without a single constraint, whose content each test puts back."""
    desk = Desk.opened(postgres, bare=True)
    for name in ("slices", "orders", "heartbeat"):
        desk.run(f"CREATE TABLE good_{name} AS TABLE {name}")
    return desk


@pytest.fixture
def desk(bare: Desk) -> Desk:
    for name in ("slices", "orders", "heartbeat"):
        bare.run(f"TRUNCATE {name}; INSERT INTO {name} SELECT * FROM good_{name}")
    return bare


@pytest.mark.parametrize("statement", BAD)
async def test_a_bad_row_makes_the_belief_unknown_and_is_named(desk: Desk, pools: Pools, statement: str) -> None:
    ledger = desk.ledger(pools)
    assert (await ledger.read()).orders, "before, all is well"
    desk.run(statement)
    with pytest.raises(BeliefUnobserved, match=BAD[statement]) as caught:
        await ledger.read()
    assert caught.value.reason is Reason.STATE_MALFORMED
    assert caught.value.message.startswith(SOURCE)


@pytest.mark.parametrize(
    "statement", [text for text in BAD if "slices" in text and "trade_id = 't2'" not in text and "BTC USDT" not in text]
)
async def test_the_stream_of_slices_sees_the_same(desk: Desk, pools: Pools, statement: str) -> None:
    desk.run(statement)
    async with desk.ledger(pools).locked(canonical) as held:
        with pytest.raises(LedgerUnreadable, match=r"slices, row ") as caught:
            [batch async for batch in held.slices()]
    assert caught.value.reason is LedgerReason.MALFORMED


async def test_bad_rows_of_others_and_of_the_past_do_not_matter(desk: Desk, pools: Pools) -> None:
    before = await desk.ledger(pools).read()
    desk.run("INSERT INTO slices (profile, trade_id, status, quantity) VALUES ('other', 'x', 'open', 'NaN')")
    desk.run("INSERT INTO slices (profile, trade_id, status, quantity) VALUES ('grid', 'x', 'closed', NULL)")
    desk.run("INSERT INTO orders (profile, order_key, status) VALUES ('other', 'x', NULL), ('grid', 'y', 'filled')")
    after = await desk.ledger(pools).read()
    assert (after.positions, after.orders) == (before.positions, before.orders)


async def test_what_stands_in_a_row_is_not_repeated_but_for_a_cleaned_key(desk: Desk, pools: Pools) -> None:
    desk.run("UPDATE slices SET trade_id = E'<b>\\n' || repeat('x', 90), symbol = 'hush hush' WHERE trade_id = 't1'")
    with pytest.raises(BeliefUnobserved) as caught:
        await desk.ledger(pools).read()
    assert "row ?b??xxx" in caught.value.message
    assert "hush" not in caught.value.message
    assert "x" * 61 not in caught.value.message


async def test_a_symbol_that_the_exchange_does_not_list_is_named_by_its_slice(desk: Desk, pools: Pools) -> None:
    desk.run(SET.format("symbol = 'OLDUSDT'"))
    async with desk.ledger(pools).locked(canonical) as held:
        with pytest.raises(LedgerUnreadable, match="row t1: symbol is none that the exchange lists"):
            [batch async for batch in held.slices()]


async def test_orders_that_never_end_are_too_many(desk: Desk, pools: Pools) -> None:
    desk.run(
        "INSERT INTO orders SELECT profile, 'n' || n, symbol, 'n' || n, NULL, trade_id, sub_tag, side, purpose,"
        " quantity, filled, price, status"
        f" FROM orders, generate_series(1, {MAX_ACTIVE_ORDERS}) n WHERE order_key = 'o1'"
    )
    with pytest.raises(BeliefUnobserved, match="are ended ones still open") as caught:
        await desk.ledger(pools, timeout=30).read()
    assert caught.value.reason is Reason.STATE_TOO_LARGE


FLAWS = {
    "ALTER TABLE slices ALTER quantity TYPE text": (
        Reason.STATE_MALFORMED,
        r"slices\.quantity is of a type .* numeric",
    ),
    "ALTER TABLE slices ALTER quantity TYPE float8": (
        Reason.STATE_MALFORMED,
        r"slices\.quantity is of a type .* numeric",
    ),
    "ALTER TABLE orders ALTER status TYPE bool USING true": (Reason.STATE_MALFORMED, r"orders\.status is of a type"),
    "ALTER TABLE heartbeat ALTER as_of TYPE text": (Reason.STATE_MALFORMED, r"heartbeat\.as_of .* timestamptz"),
    "ALTER TABLE orders DROP filled": (Reason.STATE_NOT_FOUND, r"orders has no column filled: expected numeric"),
    "DROP TABLE heartbeat": (Reason.STATE_NOT_FOUND, r"heartbeat does not exist: apply"),
    f"REVOKE SELECT ON orders FROM {ROLE}": (Reason.STATE_FORBIDDEN, r"orders\.\w+: the role lacks SELECT"),
    f"REVOKE USAGE ON SCHEMA {{schema}} FROM {ROLE}": (Reason.STATE_FORBIDDEN, "may not use the schema"),
    "DROP SCHEMA {schema} CASCADE": (Reason.STATE_NOT_FOUND, r"orders does not exist"),
}


@pytest.mark.parametrize("statement", FLAWS)
async def test_a_layout_that_is_not_the_documented_one_is_named(
    postgres: Postgres, pools: Pools, statement: str
) -> None:
    desk = Desk.opened(postgres, bare=True, filled=False)
    desk.run(statement.format(schema=desk.schema))
    reason, message = FLAWS[statement]
    with pytest.raises(AccountSyncError, match=message) as caught:
        await desk.ledger(pools).read()
    assert caught.value.reason is reason


async def test_other_types_that_mean_the_same_are_taken(postgres: Postgres, pools: Pools) -> None:
    desk = Desk.opened(postgres, bare=True)
    before = await desk.ledger(pools).read()
    desk.run(
        "CREATE TYPE words AS ENUM ('open', 'closed');"
        " ALTER TABLE slices ALTER status TYPE words USING status::words, ALTER trade_id TYPE varchar(40),"
        " ALTER opened_at TYPE timestamp, ALTER quantity TYPE numeric(20, 8);"
        " ALTER TABLE orders ALTER exchange_order_id TYPE bigint USING exchange_order_id::bigint,"
        " ALTER quantity TYPE numeric(20, 8)"
    )
    after = await desk.ledger(pools).read()
    assert (after.positions, after.orders) == (before.positions, before.orders)


async def test_the_heartbeat_of_the_bot_says_for_when_the_belief_holds(desk: Desk, pools: Pools) -> None:
    ledger = desk.ledger(pools)
    ((now,),) = desk.run("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint")
    without = await ledger.read()
    assert int(str(now)) <= without.as_of
    assert (without.boot_id, without.ready) == ("", True)
    desk.run("INSERT INTO heartbeat VALUES ('grid', to_timestamp(1700000000.1239), 'b7', false)")
    said = await ledger.read()
    assert (said.as_of, said.boot_id, said.ready) == (1_700_000_000_123, "b7", False)


async def test_a_reading_is_of_one_moment(desk: Desk, pools: Pools) -> None:
    """A bot that moves quantity between two slices in one transaction is never seen in between."""
    stop = False

    async def moving() -> None:
        while not stop:
            for there, back in (("t1", "t3"), ("t3", "t1")):
                await asyncio.to_thread(
                    desk.run,
                    f"UPDATE slices SET quantity = quantity + 0.1 WHERE trade_id = '{there}';"
                    f" UPDATE slices SET quantity = quantity - 0.1 WHERE trade_id = '{back}'",
                )

    mover = asyncio.create_task(moving())
    ledger = desk.ledger(pools)
    sums = {str((await ledger.read()).positions) for _ in range(40)}
    stop = True
    await mover
    assert len(sums) == 1
