"""What the bot and others do while a run is at work: nothing is written over it, and the bot is never in the way."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import psycopg
import pytest
from tests.ledger.auditor import audit
from tests.ledger.desk import BTC, PROFILE, Desk, canonical, correction, exit_of, fill, nothing
from tests.ledger.test_losses import close, until
from tests.support.postgres import Postgres

from accountsync.bot.ledger.keys import Lock, lock_key
from accountsync.bot.ledger.pool import Pools
from accountsync.domain.account import OrderStatus, Side
from accountsync.domain.ledger import Handler, Slice, SyntheticExit, Written
from accountsync.errors import LedgerBusy, LedgerOutcomeUnknown, LedgerRefused, LedgerUnavailable
from accountsync.ports import LockedLedger

BOOKED = (
    "INSERT INTO trade_history VALUES ('grid', %s, 't1', '', 'BTCUSDT', 'EXIT', %s, 61000, %s, %s, false, '', now())"
)


async def slices(held: LockedLedger) -> dict[str, Slice]:
    return {row.trade_id: row async for batch in held.slices() for row in batch}


async def proof_of_t3(held: LockedLedger) -> SyntheticExit:
    """By one fill of order 77."""
    return exit_of((await slices(held))["t3"], fill(1, BTC, Side.SELL, "0.25", 61_000))


async def test_a_fill_that_the_bot_booked_since_it_was_judged_closes_nothing(postgres: Postgres, pools: Pools) -> None:
    desk = Desk.opened(postgres)
    async with desk.ledger(pools).locked(canonical) as held:
        proven = await proof_of_t3(held)
        desk.run(BOOKED, "own-1", "0.3", "c-77", None)
        assert len(await held.booked([(BTC, "77", "c-77")])) == 1
        desk.run(BOOKED, "own-2", "0.25", "c-77", None)
        before = desk.stored()
        assert await held.close(proven, nothing) is Written.CHANGED
        assert desk.stored() == before
        assert sum(row.quantity for row in await held.booked([(BTC, "77", "c-77")])) == Decimal("0.55")
        assert await held.close(proven, nothing) is Written.APPLIED, "judged anew, with all of it"


async def test_an_order_that_was_never_asked_for_must_not_be_booked_at_all(postgres: Postgres, pools: Pools) -> None:
    desk = Desk.opened(postgres)
    async with desk.ledger(pools).locked(canonical) as held:
        proven = await proof_of_t3(held)
        desk.run(BOOKED, "own-1", "0.25", None, "77")
        assert await held.close(proven, nothing) is Written.CHANGED
        desk.run("UPDATE trade_history SET event_id = 'e-0'")
        assert await held.close(proven, nothing) is Written.APPLIED, "what is in used_fills was ours"


async def test_an_entry_never_goes_into_a_slice_of_another_symbol(postgres: Postgres, pools: Pools) -> None:
    desk = Desk.opened(postgres)
    desk.run("UPDATE slices SET trade_id = 't9', symbol = 'ETHUSDT' WHERE trade_id = 't1'")
    async with desk.ledger(pools).locked(canonical) as held:
        (row,) = await held.orders([(BTC, "9", "")])
        wanted = correction(Handler.ENTRY_FILL, row, "2", OrderStatus.FILLED, fill(7, BTC, Side.BUY, "2", 50_000))
        judged = replace(wanted, slice_version=(await slices(held))["t9"].version)
        before = desk.stored()
        assert await held.correct(judged, nothing) is Written.CHANGED
    assert desk.stored() == before


async def test_without_the_lock_of_the_run_nothing_is_written(postgres: Postgres, pools: Pools) -> None:
    desk = Desk.opened(postgres)
    before = desk.stored()
    key = lock_key(Lock.RUN, desk.schema, PROFILE)
    async with desk.ledger(pools).locked(canonical) as held:
        proven = await proof_of_t3(held)
        postgres.run("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        await until(postgres, f"SELECT 1 WHERE pg_try_advisory_lock({key})")
        with pytest.raises(LedgerUnavailable, match="lock is lost"):
            await held.close(proven, nothing)
        postgres.run(f"SELECT pg_advisory_unlock({key})")
    assert desk.stored() == before


@pytest.mark.parametrize("order", ["ours waits first", "the bot waits first"])
async def test_the_bot_is_never_the_victim_of_a_deadlock(postgres: Postgres, pools: Pools, order: str) -> None:
    """It locks the position first and the slice then, the other way round than a change does."""
    desk = Desk.opened(postgres)
    slice_, position = (
        f"UPDATE {desk.schema}.{what} SET updated_at = now() WHERE {where}".encode()
        for what, where in (("slices", "trade_id = 't3'"), ("positions", "symbol = 'BTCUSDT'"))
    )
    if order == "the bot waits first":
        desk.run(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.4); RETURN NEW; END"
            " $$; CREATE TRIGGER slow BEFORE INSERT ON used_fills FOR EACH ROW EXECUTE FUNCTION slow()"
        )
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with desk.ledger(pools).locked(canonical) as held:
        proven = await proof_of_t3(held)
        bot = await psycopg.AsyncConnection.connect(
            f"host=127.0.0.1 port={postgres.port} user=postgres dbname=postgres"
        )
        async with bot:
            await bot.execute(position)
            ours = asyncio.create_task(held.close(proven, nothing))
            locked = f"SELECT 1 FROM pg_locks WHERE relation = '{desk.schema}.trade_history'::regclass"
            await until(postgres, waiting if order == "ours waits first" else locked)
            await bot.execute(slice_)
            with pytest.raises(LedgerBusy):
                await ours
    audit(desk)


SLOW_COMMIT = (
    "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$;"
    " CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON trade_history DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION slow()"
)


async def test_a_deadline_within_a_commit_comes_when_it_is_known_what_became_of_it(
    postgres: Postgres, pools: Pools
) -> None:
    desk = Desk.opened(postgres)
    desk.run(SLOW_COMMIT)
    told: list[Written] = []
    async with desk.ledger(pools).locked(canonical) as held:
        proven = await proof_of_t3(held)
        loop = asyncio.get_running_loop()

        async def run() -> None:
            async with asyncio.timeout(None) as scope:
                told.append(await held.close(proven, lambda: scope.reschedule(loop.time() + 0.1)))
                await asyncio.sleep(60)

        with pytest.raises(TimeoutError):
            await run()
        assert told == [Written.APPLIED]
    assert desk.run("SELECT status FROM slices WHERE trade_id = 't3'") == [("closed",)]


async def test_a_deadline_before_the_commit_rolls_back(postgres: Postgres, pools: Pools) -> None:
    desk = Desk.opened(postgres)
    desk.run(SLOW_COMMIT.replace("CONSTRAINT TRIGGER", "TRIGGER").replace("DEFERRABLE INITIALLY DEFERRED", ""))
    before = desk.stored()
    async with desk.ledger(pools).locked(canonical) as held:
        proven = await proof_of_t3(held)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await held.close(proven, nothing)
        assert desk.stored() == before
    assert await close(desk.ledger(pools)) is Written.APPLIED


async def test_a_deadline_within_a_commit_that_is_never_answered_leaves_it_unknown(
    victim: Postgres, pools: Pools
) -> None:
    desk = Desk.opened(victim)
    async with desk.ledger(pools, timeout=1).locked(canonical) as held:
        proven = await proof_of_t3(held)
        victim.run("ALTER SYSTEM SET synchronous_standby_names = 'lost'")
        victim.run("SELECT pg_reload_conf()")
        await until(victim, "SELECT 1 WHERE current_setting('synchronous_standby_names') <> ''")
        loop = asyncio.get_running_loop()
        try:
            with pytest.raises(LedgerOutcomeUnknown):
                async with asyncio.timeout(None) as scope:
                    await held.close(proven, lambda: scope.reschedule(loop.time() + 0.1))
        finally:
            victim.run("SET synchronous_commit = local")
            victim.run("ALTER SYSTEM RESET synchronous_standby_names")
            victim.run("SELECT pg_reload_conf()")
        await until(victim, f"SELECT 1 FROM {desk.schema}.trade_history")
        assert await held.close(proven, nothing) is Written.ALREADY


@pytest.mark.parametrize("relation", ["positions", "trade_history"])
async def test_what_the_books_of_the_bot_would_round_is_rolled_back(
    postgres: Postgres, pools: Pools, relation: str
) -> None:
    desk = Desk.opened(postgres, bare=True)
    desk.run("UPDATE slices SET quantity = 0.07 WHERE trade_id = 't1'")
    desk.run(f"ALTER TABLE {relation} ALTER quantity TYPE numeric(20, 1)")
    before = desk.stored()
    async with desk.ledger(pools).locked(canonical) as held:
        with pytest.raises(LedgerRefused, match=f"{relation} rounds or changes"):
            await held.close(await proof_of_t3(held), nothing)
    assert desk.stored() == before
