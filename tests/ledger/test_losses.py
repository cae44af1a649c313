"""What is left of a change when the database is lost in the middle: all or nothing, and the caller knows which."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.ledger.auditor import audit
from tests.ledger.desk import BTC, PROFILE, Desk, canonical, correction, exit_of, fill, nothing
from tests.ledger.wire import Wire, wire_to
from tests.support.postgres import ROLE, Postgres

from accountsync.bot.address import AddressPolicy
from accountsync.bot.ledger.keys import Lock, lock_key
from accountsync.bot.ledger.pool import Pools
from accountsync.bot.ledger.postgres import PostgresLedger
from accountsync.domain.account import OrderStatus, Side
from accountsync.domain.ledger import Handler, Written
from accountsync.errors import (
    BeliefUnobserved,
    LedgerBusy,
    LedgerError,
    LedgerLockHeld,
    LedgerOutcomeUnknown,
    LedgerReadOnly,
    LedgerReason,
    LedgerRefused,
    LedgerUnavailable,
    LedgerUnreadable,
    Reason,
)

MOST_STATEMENTS = 45
Change = Callable[[PostgresLedger], Awaitable[Written]]


async def close(ledger: PostgresLedger) -> Written:
    """An exit of t1, judged by what is there; what it was judged by before stays so after it is closed."""
    async with ledger.locked(canonical) as held:
        rows = {row.trade_id: row async for batch in held.slices() for row in batch}
        if "t1" not in rows:
            return Written.ALREADY
        return await held.close(exit_of(rows["t1"], fill(1, BTC, Side.SELL, "0.5", 61_000)), nothing)


async def enter(ledger: PostgresLedger) -> Written:
    """An entry that filled in part."""
    async with ledger.locked(canonical) as held:
        (row,) = await held.orders([(BTC, "9", "")])
        if row.filled:
            return Written.ALREADY
        wanted = correction(Handler.ENTRY_FILL, row, "0.5", OrderStatus.OPEN, fill(1, BTC, Side.BUY, "0.5", 50_000))
        return await held.correct(wanted, nothing)


@pytest.fixture
async def wire(victim: Postgres) -> AsyncIterator[Wire]:
    async with wire_to(victim) as proxy:
        yield proxy


async def struck_at_every_statement(
    wire: Wire, change: Change, strike: Callable[[], None], *, before: bool = False, first: int = 1
) -> list[type[LedgerError] | Written]:
    """Strike at the `first` statement of a run, then at the next, and so on until none is left to strike at."""
    desk = Desk.opened(wire.postgres)
    untouched = desk.stored()
    results: list[type[LedgerError] | Written] = []
    for statement in range(first, MOST_STATEMENTS):
        pools = Pools(AddressPolicy(["postgres://127.0.0.1:*"]))  # with as many statements each time
        ledger = desk.ledger(pools, dsn=wire.dsn)
        wire.arm(statement, strike, before=before)
        try:
            results.append(await change(ledger))
        except LedgerError as error:
            results.append(type(error))
        finally:
            await pools.close()
        if not wire.struck:
            assert results.pop() is Written.APPLIED
            return results
        audit(desk)
        if desk.stored() == untouched:
            assert results[-1] is not Written.APPLIED
        else:
            assert results[-1] in {Written.APPLIED, LedgerOutcomeUnknown}, "it may not be said that nothing was written"
            assert await change(desk.ledger(pools)) is Written.ALREADY
            await pools.close()
            audit(desk)
            desk = Desk.opened(wire.postgres)
    raise AssertionError(f"it never ended: {results}")


@pytest.mark.parametrize(("change", "first"), [(close, 10), (enter, 8)])
async def test_kill_9_at_every_statement_leaves_all_or_nothing(
    victim: Postgres, wire: Wire, change: Change, first: int
) -> None:
    def strike() -> None:
        victim.kill()
        victim.start()

    results = await struck_at_every_statement(wire, change, strike, first=first)  # before it, only reading
    assert results.count(LedgerUnavailable) > 8
    assert results[-1] is Written.APPLIED, f"what was lost after it was committed is looked for: {results}"


@pytest.mark.parametrize(("change", "before"), [(close, False), (enter, True)])
async def test_a_connection_that_is_ended_at_every_statement_leaves_all_or_nothing(
    postgres: Postgres, change: Change, *, before: bool
) -> None:
    def strike() -> None:
        postgres.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", ROLE)

    async with wire_to(postgres) as wire:
        results = await struck_at_every_statement(wire, change, strike, before=before)
    assert results.count(LedgerUnavailable) > 8
    assert results[-1] is Written.APPLIED, results


async def test_a_commit_whose_outcome_cannot_be_asked_is_unknown_and_known_with_the_next_run(
    victim: Postgres, wire: Wire, pools: Pools
) -> None:
    desk = Desk.opened(victim)
    ledger = desk.ledger(pools, dsn=wire.dsn)
    async with ledger.locked(canonical) as held:
        rows = {row.trade_id: row async for batch in held.slices() for row in batch}
        wanted = exit_of(rows["t1"], fill(1, BTC, Side.SELL, "0.5", 61_000))

        def commit_comes_next() -> None:
            wire.arm(1, victim.kill)

        with pytest.raises(LedgerOutcomeUnknown, match="the next run looks") as caught:
            await held.close(wanted, commit_comes_next)
        assert caught.value.reason is LedgerReason.UNKNOWN_OUTCOME
    victim.start()
    async with ledger.locked(canonical) as held:
        assert await held.close(wanted, nothing) is Written.ALREADY


async def test_a_reading_says_that_the_database_is_gone_and_comes_back_with_it(
    victim: Postgres, wire: Wire, pools: Pools
) -> None:
    ledger = Desk.opened(victim).ledger(pools, dsn=wire.dsn)
    before = await ledger.read()
    victim.kill()
    with pytest.raises(BeliefUnobserved, match="no connection to the database: does it run") as caught:
        await ledger.read()
    assert caught.value.reason is Reason.BOT_UNREACHABLE
    victim.start()
    assert (await ledger.read()).positions == before.positions, "a connection that died is not used again"


async def test_a_database_that_went_silent_holds_nobody(postgres: Postgres, pools: Pools) -> None:
    async with wire_to(postgres) as wire:
        ledger = Desk.opened(postgres).ledger(pools, dsn=wire.dsn, timeout=0.5)
        async with ledger.locked(canonical) as held:
            wire.silent = True
            with pytest.raises(LedgerUnreadable) as lost:
                await held.used([(BTC, "f-0")])
            assert lost.value.reason is LedgerReason.TIMEOUT
        with pytest.raises(BeliefUnobserved) as unread:
            await ledger.read()
        assert unread.value.reason is Reason.BOT_TIMEOUT


async def test_a_table_that_someone_locked_holds_nobody(postgres: Postgres, pools: Pools) -> None:
    desk = Desk.opened(postgres)
    with postgres.admin() as other, other.transaction():
        other.execute(f"LOCK TABLE {desk.schema}.orders IN ACCESS EXCLUSIVE MODE".encode())
        with pytest.raises(BeliefUnobserved) as caught:
            await desk.ledger(pools, timeout=0.5).read()
    assert caught.value.reason is Reason.BOT_TIMEOUT


@pytest.mark.parametrize("how", ["by default", "a standby"])
async def test_a_primary_that_became_read_only_says_so(victim: Postgres, pools: Pools, how: str) -> None:
    desk = Desk.opened(victim)
    ledger = desk.ledger(pools)
    before = desk.stored()
    if how == "by default":
        victim.run("ALTER SYSTEM SET default_transaction_read_only = on")
        victim.run("SELECT pg_reload_conf()")
        await until(victim, "SELECT 1 WHERE current_setting('default_transaction_read_only') = 'on'")
    else:
        victim.stop()
        victim.write_file("standby.signal", "")
        victim.start()
    try:
        assert (await ledger.read()).orders, "it can be read as ever"
        with pytest.raises(LedgerReadOnly, match="takes no writes now") as caught:
            await close(ledger)
        assert caught.value.reason is LedgerReason.READ_ONLY
    finally:
        victim.stop()
        (victim.data / "standby.signal").unlink(missing_ok=True)
        auto = victim.data / "postgresql.auto.conf"
        auto.write_text("", encoding="utf-8")
        victim.start()
    assert desk.stored() == before
    assert await close(ledger) is Written.APPLIED


async def until(postgres: Postgres, query: str) -> None:
    """Wait for another session of the database to come to where this query finds something."""
    async with asyncio.timeout(10):
        while not postgres.run(query):  # noqa: ASYNC110 - nothing in this process changes with it
            await asyncio.sleep(0.01)


async def test_a_run_lock_that_a_person_holds_is_told_at_once(postgres: Postgres, pools: Pools) -> None:
    desk = Desk.opened(postgres)
    with postgres.admin() as person, person.transaction():
        person.execute(
            "SELECT pg_advisory_xact_lock("
            "('x' || left(md5('accountsync/run/' || %s || '/' || %s), 16))::bit(64)::bigint)",
            (desk.schema, PROFILE),
        )
        with pytest.raises(LedgerLockHeld) as caught:
            await close(desk.ledger(pools))
        assert caught.value.reason is LedgerReason.LOCK_HELD
        async with desk.ledger(pools, profile="another").locked(canonical):
            pass
    assert await close(desk.ledger(pools)) is Written.APPLIED


async def test_a_bot_that_holds_the_write_lock_or_a_row_makes_a_change_wait_and_then_give_up(
    postgres: Postgres, pools: Pools
) -> None:
    desk = Desk.opened(postgres)
    ledger = desk.ledger(pools, timeout=1)
    key = lock_key(Lock.WRITE, desk.schema, PROFILE)
    for holding in (f"SELECT pg_advisory_xact_lock({key})", f"UPDATE {desk.schema}.slices SET updated_at = now()"):
        with postgres.admin() as bot, bot.transaction():
            bot.execute(holding.encode())
            with pytest.raises(LedgerBusy, match="the next run tries again") as caught:
                await close(ledger)
            assert caught.value.reason is LedgerReason.BUSY
    audit(desk)
    assert await close(ledger) is Written.APPLIED


async def test_what_the_bot_changes_while_we_wait_for_its_lock_is_seen(postgres: Postgres, pools: Pools) -> None:
    desk = Desk.opened(postgres)
    key = lock_key(Lock.WRITE, desk.schema, PROFILE)
    with postgres.admin() as bot:
        with bot.transaction():
            bot.execute(f"SELECT pg_advisory_xact_lock({key})".encode())
            ours = asyncio.create_task(close(desk.ledger(pools)))
            await until(postgres, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            bot.execute(f"UPDATE {desk.schema}.slices SET quantity = 0.4 WHERE trade_id = 't1'".encode())
        assert await ours is Written.CHANGED
    assert not desk.run("SELECT FROM trade_history")


TRIGGER = (
    "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} END $$;"
    " CREATE TRIGGER no BEFORE {} FOR EACH ROW EXECUTE FUNCTION no()"
)
DEFERRED = (
    "ALTER TABLE trade_history ADD UNIQUE (trade_id, profile), ADD CONSTRAINT mine FOREIGN KEY (event_id, profile)"
    " REFERENCES trade_history (trade_id, profile) DEFERRABLE INITIALLY DEFERRED"
)
OWN = {
    "a trigger that raises": (
        TRIGGER.format("RAISE 'secret text';", "INSERT ON trade_history"),
        "a trigger raised an error",
    ),
    "a trigger that swallows": (
        TRIGGER.format("RETURN NULL;", "UPDATE ON slices"),
        "a change of one row of slices changed 0",
    ),
    "a constraint": (
        "ALTER TABLE slices ADD CONSTRAINT mine CHECK (status <> 'closed' OR trade_id <> 't1')",
        "of slices, with SQLSTATE 23514: a constraint of one's own",
    ),
    "a constraint that is checked at the commit": (
        DEFERRED,
        "with SQLSTATE 23503",
    ),
    "a privilege that is lacking": (f"REVOKE INSERT ON used_fills FROM {ROLE}", "lacks a privilege"),
}


@pytest.mark.parametrize("what", OWN)
async def test_what_the_database_itself_is_against_is_rolled_back_and_told(
    postgres: Postgres, pools: Pools, what: str
) -> None:
    desk = Desk.opened(postgres)
    statement, message = OWN[what]
    desk.run(statement)
    before = desk.stored()
    with pytest.raises(LedgerRefused, match=message) as caught:
        await close(desk.ledger(pools))
    assert "secret" not in caught.value.message
    assert desk.stored() == before


async def test_a_column_that_rounds_is_refused(postgres: Postgres, pools: Pools) -> None:
    desk = Desk.opened(postgres)
    desk.run("ALTER TABLE slices ALTER quantity TYPE numeric(20, 2)")
    ledger = desk.ledger(pools)
    async with ledger.locked(canonical) as held:
        (row,) = await held.orders([(BTC, "9", "")])
        odd = correction(Handler.ENTRY_FILL, row, "0.125", OrderStatus.OPEN, fill(1, BTC, Side.BUY, "0.125", 50_000))
        with pytest.raises(LedgerRefused, match="slices rounds or changes what is written"):
            await held.correct(odd, nothing)
    audit(desk)


async def test_a_rival_that_takes_no_lock_and_writes_the_same_event_first_is_noticed(
    postgres: Postgres, pools: Pools
) -> None:
    desk = Desk.opened(postgres)
    ledger = desk.ledger(pools)
    async with ledger.locked(canonical) as held:
        rows = {row.trade_id: row async for batch in held.slices() for row in batch}
        wanted = exit_of(rows["t1"], fill(1, BTC, Side.SELL, "0.5", 61_000))
        with postgres.admin() as rival:
            with rival.transaction():
                rival.execute(
                    f"INSERT INTO {desk.schema}.trade_history (profile, event_id, symbol, kind, quantity, at)"
                    " VALUES ('grid', 'x-1', 'BTCUSDT', 'EXIT', 0.5, now())".encode()
                )
                ours = asyncio.create_task(held.close(wanted, nothing))
                await until(postgres, "SELECT 1 FROM pg_locks WHERE NOT granted")
            assert await ours is Written.ALREADY
    assert "t1" in {str(row[0]) for row in desk.run("SELECT trade_id FROM slices WHERE status = 'open'")}
