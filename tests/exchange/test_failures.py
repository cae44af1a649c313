"""Each way to fail has its reason, and none of them tells a secret."""

import asyncio
import logging
import re
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web
from tests.exchange.conftest import Connect

from accountsync.errors import AccountSyncError, ConfigurationError, ExchangeUnobserved, Reason
from accountsync.exchange import CcxtExchange, EndpointPolicy, Venue, Venues
from accountsync.simulator import Account, Fault, Simulator

PARTS = ["*/time", "*/positionRisk", "*/v3/account", "*/openOrders"]
FAULTS: dict[str, tuple[Callable[[str], Fault], Reason]] = {
    "500": (lambda path: Fault.http_error(500, path=path), Reason.EXCHANGE_UNAVAILABLE),
    "502": (lambda path: Fault.http_error(502, path=path), Reason.EXCHANGE_UNAVAILABLE),
    "503": (lambda path: Fault.http_error(503, path=path), Reason.EXCHANGE_UNAVAILABLE),
    "504": (lambda path: Fault.http_error(504, path=path), Reason.EXCHANGE_UNAVAILABLE),
    "500 that denies": (lambda path: Fault.http_error(500, code=-2013, path=path), Reason.EXCHANGE_UNAVAILABLE),
    "maintenance": (lambda path: Fault.maintenance(path=path), Reason.EXCHANGE_UNAVAILABLE),
    "overloaded": (lambda path: Fault.overloaded(path=path), Reason.EXCHANGE_UNAVAILABLE),
    "hang": (lambda path: Fault.hang(path=path), Reason.EXCHANGE_TIMEOUT),
    "latency": (lambda path: Fault.latency(30, path=path), Reason.EXCHANGE_TIMEOUT),
    "reset": (lambda path: Fault.reset(path=path), Reason.EXCHANGE_UNREACHABLE),
    "truncated": (lambda path: Fault.truncated(path=path), Reason.EXCHANGE_MALFORMED),
    "clock": (lambda path: Fault.http_error(400, code=-1021, path=path), Reason.EXCHANGE_CLOCK_SKEW),
    "key": (lambda path: Fault.http_error(401, code=-2015, path=path), Reason.CREDENTIALS_REJECTED),
    "signature": (lambda path: Fault.http_error(400, code=-1022, path=path), Reason.CREDENTIALS_REJECTED),
    "gateway timeout": (lambda path: Fault.http_error(408, code=-1007, path=path), Reason.EXCHANGE_TIMEOUT),
    "overload as 400": (lambda path: Fault.http_error(400, code=-1008, path=path), Reason.EXCHANGE_UNAVAILABLE),
    "refused": (lambda path: Fault.http_error(400, code=-4046, path=path), Reason.EXCHANGE_REFUSED),
    "firewall": (lambda path: Fault.http_error(403, code=0, path=path), Reason.EXCHANGE_REFUSED),
    "200 that refuses": (lambda path: Fault.http_error(200, code=-1000, path=path), Reason.EXCHANGE_UNAVAILABLE),
    "too many": (lambda path: Fault.http_error(429, code=-1003, path=path), Reason.RATE_LIMITED),
    "banned": (lambda path: Fault.http_error(418, code=-1003, path=path), Reason.RATE_LIMITED),
    "too many as 400": (lambda path: Fault.http_error(400, code=-1003, path=path), Reason.RATE_LIMITED),
}


def everything_about(error: BaseException) -> str:
    """All that could ever be printed of it."""
    texts = []
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        waiting += [one.__cause__, one.__context__]
        texts += [str(one), repr(one), repr(one.args), repr(vars(one))]
        texts.append("".join(traceback.TracebackException.from_exception(one, capture_locals=False).format()))
    return "\n".join(texts)


async def failing(call: Awaitable[Any]) -> AccountSyncError:
    with pytest.raises(AccountSyncError) as caught:
        await call
    return caught.value


@pytest.mark.parametrize("path", PARTS)
@pytest.mark.parametrize("kind", FAULTS)
async def test_a_part_that_fails_fails_the_snapshot(
    sim: Simulator, account: Account, connect: Connect, kind: str, path: str
) -> None:
    exchange = connect(account, timeout=0.4)
    await exchange.venue.ready()
    make, reason = FAULTS[kind]
    sim.faults.add(make(path))
    error = await failing(exchange.snapshot())
    assert error.reason is reason
    assert isinstance(error, ConfigurationError) == (reason is Reason.CREDENTIALS_REJECTED)
    assert error.__cause__ is None
    assert error.__context__ is None
    if reason is Reason.RATE_LIMITED:
        assert isinstance(error, ExchangeUnobserved)
        assert error.retry_after


@pytest.mark.parametrize("path", PARTS)
async def test_a_connection_lost_midway_fails_the_snapshot(
    sim: Simulator, account: Account, connect: Connect, path: str
) -> None:
    sim.faults.add(Fault.reset(midway=True, path=path))
    error = await failing(connect(account).snapshot())
    assert error.reason in (Reason.EXCHANGE_UNREACHABLE, Reason.EXCHANGE_MALFORMED)


async def test_it_recovers_when_the_fault_is_gone(sim: Simulator, account: Account, connect: Connect) -> None:
    exchange = connect(account)
    sim.faults.add(Fault.http_error(503, times=1, path="*/openOrders"))
    await failing(exchange.snapshot())
    assert len((await exchange.snapshot()).orders) == 2


async def test_a_clock_that_is_off_is_told_apart(sim: Simulator, account: Account, connect: Connect) -> None:
    sim.faults.add(Fault.clock_skew(-5000))
    assert (await failing(connect(account).snapshot())).reason is Reason.EXCHANGE_CLOCK_SKEW


async def test_a_revoked_key_is_for_a_person(sim: Simulator, account: Account, venue: Venue) -> None:
    key = sim.world.create_key(account)
    exchange = CcxtExchange(venue, {"apiKey": key.api_key, "secret": key.secret})
    await exchange.snapshot()
    sim.world.revoke_key(key)
    error = await failing(exchange.snapshot())
    assert isinstance(error, ConfigurationError)
    assert error.reason is Reason.CREDENTIALS_REJECTED


async def test_an_exchange_that_is_not_there_is_unreachable(venues: Venues) -> None:
    venue = venues.get("binanceusdm", endpoint="http://127.0.0.1:1")
    exchange = CcxtExchange(venue, {"apiKey": "k", "secret": "s"})
    assert (await failing(exchange.snapshot())).reason is Reason.EXCHANGE_UNREACHABLE


async def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    venues = Venues(endpoints=EndpointPolicy(["http://exchange.invalid"]))
    exchange = CcxtExchange(
        venues.get("binanceusdm", endpoint="http://exchange.invalid"), {"apiKey": "k", "secret": "s"}
    )
    assert (await failing(exchange.snapshot())).reason is Reason.EXCHANGE_UNREACHABLE
    await venues.close()


@pytest.mark.usefixtures("within_a_minute")
async def test_a_cancelled_reading_leaves_nothing_behind(sim: Simulator, account: Account, connect: Connect) -> None:
    exchange = connect(account)
    await exchange.snapshot()
    used = exchange.venue.budget.used
    hang = sim.faults.add(Fault.hang(path="*/openOrders"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await exchange.snapshot()
    assert not [task for task in asyncio.all_tasks() if "accountsync/exchange/" in repr(task)]
    assert exchange.venue.budget.used == used + 91
    sim.faults.clear(hang)
    assert len((await exchange.snapshot()).orders) == 2


# --- strange servers --------------------------------------------------------------------------------------

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def standing_in(sim: Simulator, answer: Callable[[], web.StreamResponse]) -> AsyncIterator[str]:
    """The markets are the simulator's; every signed request is met with `answer`."""
    import aiohttp  # noqa: PLC0415

    async def handle(request: web.Request) -> web.StreamResponse:
        if "signature" in request.query:
            return answer()
        async with aiohttp.ClientSession() as session, session.get(f"{sim.url}{request.rel_url}") as response:
            return web.Response(body=await response.read(), content_type="application/json")

    async with serving(handle) as url:
        yield url


@pytest.mark.parametrize(
    "body", ["<html>fine</html>", "", "null", "7", '"ok"', "[1]", "{}", '{"positions": 1}', "[{}]"]
)
async def test_an_answer_that_is_none_is_no_empty_account(sim: Simulator, venues: Venues, body: str) -> None:
    async with standing_in(sim, lambda: web.Response(text=body, content_type="application/json")) as url:
        exchange = CcxtExchange(venues.get("binanceusdm", endpoint=url), {"apiKey": "k", "secret": "s"})
        assert (await failing(exchange.snapshot())).reason is Reason.EXCHANGE_MALFORMED
        await venues.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(sim: Simulator, venues: Venues, status: int) -> None:
    visits: list[str] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        visits.append(str(request.rel_url))
        return web.json_response([])

    async with serving(elsewhere) as trap:
        redirect = lambda: web.Response(status=status, headers={"Location": f"{trap}/steal"})  # noqa: E731
        async with standing_in(sim, redirect) as url:
            exchange = CcxtExchange(venues.get("binanceusdm", endpoint=url), {"apiKey": "k", "secret": "s"})
            error = await failing(exchange.snapshot())
            await venues.close()
    assert error.reason is Reason.EXCHANGE_REFUSED
    assert visits == []


async def test_a_market_list_that_redirects_is_not_followed(venues: Venues) -> None:
    visits: list[str] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        visits.append(str(request.rel_url))
        return web.json_response({})

    async with serving(elsewhere) as trap:

        async def redirect(_: web.Request) -> web.StreamResponse:
            raise web.HTTPFound(f"{trap}/markets")

        async with serving(redirect) as url:
            error = await failing(venues.get("binanceusdm", endpoint=url).ready())
            await venues.close()
    assert (error.reason, visits) == (Reason.EXCHANGE_REFUSED, [])


@pytest.mark.parametrize("retry_after", ["7", "Fri, 31 Dec 2100 23:59:59 GMT", "soon", ""])
async def test_retry_after_is_obeyed_in_both_forms(sim: Simulator, venues: Venues, retry_after: str) -> None:
    refusal = lambda: web.Response(status=429, headers={"Retry-After": retry_after})  # noqa: E731
    async with standing_in(sim, refusal) as url:
        venue = venues.get("binanceusdm", endpoint=url)
        first, second = (CcxtExchange(venue, {"apiKey": name, "secret": name}) for name in "ab")
        error = await failing(first.snapshot())
        assert isinstance(error, ExchangeUnobserved)
        assert error.reason is Reason.RATE_LIMITED
        assert error.retry_after
        if retry_after == "7":
            assert 6 < error.retry_after <= 7
        other = await failing(second.snapshot())
        assert (other.reason, other.message) == (Reason.RATE_LIMITED, "binanceusdm asked for a pause of requests")
        await venues.close()


# --- secrets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FAULTS)
async def test_no_failure_tells_a_secret(
    sim: Simulator, account: Account, venue: Venue, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = sim.world.create_key(account)
    exchange = CcxtExchange(venue, {"apiKey": key.api_key, "secret": key.secret}, timeout=0.4)
    await venue.ready()
    sim.faults.add(FAULTS[kind][0]("*"))
    order = next(iter(account.open_orders.values()))
    for call in (exchange.snapshot(), exchange.find_order(symbol=order.symbol, order_id=str(order.order_id))):
        text = everything_about(await failing(call))
        assert not re.search(r"signature|timestamp=|https?://|X-MBX|error occured|msg", text)
        assert key.api_key not in text
        assert key.secret not in text
    for record in caplog.records:
        assert key.api_key not in record.getMessage()
        assert "signature" not in record.getMessage()
    assert key.secret not in repr(exchange) + str(exchange) + repr(venue)


def test_a_missing_credential_is_named_without_the_others(venues: Venues) -> None:
    given = {"apiKey": "very-secret", "password": " \n", "note": "x"}
    with pytest.raises(ConfigurationError) as caught:
        CcxtExchange(venues.get("okx"), given)
    assert caught.value.reason is Reason.SECRET_KEY_MISSING
    assert caught.value.message == "okx needs the Secret keys password, secret"
    assert "very-secret" not in everything_about(caught.value)


async def test_a_line_break_around_a_credential_is_no_part_of_it(
    sim: Simulator, account: Account, venue: Venue
) -> None:
    key = sim.world.create_key(account)
    exchange = CcxtExchange(venue, {"apiKey": f"{key.api_key}\n", "secret": f"{key.secret}\r\n"})
    assert len((await exchange.snapshot()).orders) == 2


@pytest.mark.parametrize(
    "credentials",
    [
        {"apiKey": "two\nlines", "secret": "s"},
        {"apiKey": "nul\0", "secret": "s"},
        {"apiKey": "k", "secret": "-----BEGIN PRIVATE KEY-----\nthis is none\n-----END PRIVATE KEY-----"},
    ],
)
async def test_credentials_that_cannot_sign_are_for_a_person(venue: Venue, credentials: dict[str, str]) -> None:
    error = await failing(CcxtExchange(venue, credentials).snapshot())
    assert isinstance(error, ConfigurationError)
    assert error.reason is Reason.CREDENTIALS_REJECTED
    assert credentials["apiKey"] not in everything_about(error) or credentials["apiKey"] == "k"
    assert "this is none" not in everything_about(error)


async def test_two_hundred_accounts_see_their_own_orders_only(sim: Simulator, venue: Venue) -> None:
    sim.limits.weight_per_minute = 1_000_000
    exchanges = {}
    for number in range(200):
        account = sim.world.create_account(f"bot-{number}", wallet={"USDT": Decimal(1000 + number)})
        sim.world.place_order(
            account,
            symbol="BTCUSDT",
            side="BUY",
            price=Decimal(60000),
            quantity=Decimal("0.001"),
            client_order_id=f"bot_{number}",
        )
        key = sim.world.create_key(account)
        exchanges[number] = CcxtExchange(venue, {"apiKey": key.api_key, "secret": key.secret}, timeout=60)
    for _ in range(2):
        snapshots = await asyncio.gather(*(exchange.snapshot() for exchange in exchanges.values()))
        for number, snapshot in zip(exchanges, snapshots, strict=True):
            assert [order.client_id for order in snapshot.orders] == [f"bot_{number}"]
            assert [row.wallet for row in snapshot.balances] == [Decimal(1000 + number)]
    assert len([record for record in sim.requests if record.path.endswith("/exchangeInfo")]) == 1
