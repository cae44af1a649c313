"""Trading on any exchange: what ccxt says that it can do is sent, and nothing else; what its exceptions prove."""

from decimal import Decimal
from typing import Any

import pytest

from accountsync.domain.account import OrderStatus, PositionSide, Side
from accountsync.errors import NotSent, OutcomeUnknown, Reason
from accountsync.exchange import library
from accountsync.exchange.once import Once
from accountsync.exchange.unified import Unified
from accountsync.exchange.unified_trading import bounded
from accountsync.ports import NewOrder, Stamp

BTC, SPOT = "BTC/USDT:USDT", "BTC/USDT"
ID = "acsync-0123456789abcdef01234567"
D = Decimal
STAMP = Stamp(1, 1, lambda: None)
CAN = {"timeInForce": {"IOC": True}, "hedged": True}


class Scripted:
    """A ccxt instance that trades contracts of 0.01 BTC. `done`: what it was asked to do."""

    id = "scripted"
    precisionMode = 4  # noqa: N815 - as ccxt has it
    options: dict[str, Any] = {}  # noqa: RUF012 - as ccxt has it

    def __init__(self, *, can: dict[str, Any] | None = None, apart: bool = True, **has: bool) -> None:
        self.has = {"createReduceOnlyOrder": True, "cancelOrder": True, **has}
        create = CAN if can is None else can
        self.features = {"swap": {"linear": {"createOrder": create, "fetchOpenOrders": {"trigger": apart}}}}
        contract: dict[str, Any] = {"type": "swap", "linear": True, "contract": True, "contractSize": D("0.01")}
        spot: dict[str, Any] = {"type": "spot", "linear": None, "contract": False, "contractSize": None}
        self.markets = {BTC: contract | {"precision": {"price": D("0.5")}}, SPOT: spot}
        self.done: list[tuple[Any, ...]] = []

    def market(self, symbol: str) -> dict[str, Any]:
        return self.markets[symbol]

    async def create_order(self, symbol: str, kind: str, side: str, amount: Any, price: Any, params: Any) -> Any:
        self.done.append((symbol, kind, side, amount, price, params))
        return {
            "id": "7",
            "clientOrderId": params["clientOrderId"],
            "symbol": symbol,
            "side": side,
            "amount": amount,
            "filled": D(10),
            "price": price,
            "status": "canceled",
            "type": kind,
            "reduceOnly": True,
            "info": {},
        }

    async def cancel_order(self, *args: Any) -> Any:
        self.done.append(args)
        return {}


def closing(price: str | None = "64000", leg: PositionSide = PositionSide.NET, symbol: str = BTC) -> NewOrder:
    return NewOrder(symbol, Side.SELL, leg, D("0.4"), None if price is None else D(price), ID)


async def test_requests_do_not_expire_as_far_as_ccxt_knows() -> None:
    assert not Unified().expires_requests


async def test_a_limit_order_is_sent_in_contracts() -> None:
    client = Scripted()
    order = await Unified().place(client, closing(), STAMP)
    params = {"reduceOnly": True, "clientOrderId": ID, "timeInForce": "IOC"}
    assert client.done == [(BTC, "limit", "sell", D(40), D(64000), params)]
    assert (order.id, order.client_id, order.status) == ("7", ID, OrderStatus.CANCELED)
    assert (order.quantity, order.filled) == (D("0.4"), D("0.1"))


async def test_a_market_order_closes_a_leg() -> None:
    client = Scripted()
    await Unified().place(client, closing(None, PositionSide.LONG), STAMP)
    params = {"reduceOnly": True, "clientOrderId": ID, "hedged": True}
    assert client.done == [(BTC, "market", "sell", D(40), None, params)]


@pytest.mark.parametrize(
    ("client", "order", "words"),
    [
        (Scripted(createReduceOnlyOrder=False), closing(), "no reduce-only orders"),
        (Scripted(), closing(symbol=SPOT), "no reduce-only orders"),
        (Scripted(can={}), closing(), "no immediate-or-cancel"),
        (Scripted(can={}), closing(None, PositionSide.LONG), "a leg of hedge mode"),
    ],
)
async def test_what_ccxt_does_not_promise_is_not_sent(client: Scripted, order: NewOrder, words: str) -> None:
    with pytest.raises(NotSent, match=words):
        await Unified().place(client, order, STAMP)
    assert client.done == []


@pytest.mark.parametrize(("apart", "params"), [(True, {"trigger": True}), (False, {})])
async def test_a_conditional_order_is_cancelled_where_it_is_kept(apart: bool, params: dict[str, Any]) -> None:
    client = Scripted(apart=apart)
    await Unified().cancel(client, BTC, "7", True, STAMP)
    await Unified().cancel(client, BTC, "8", False, STAMP)
    assert client.done == [("7", BTC, params), ("8", BTC, {})]


async def test_where_nothing_can_be_cancelled_nothing_is_sent() -> None:
    client = Scripted(cancelOrder=False)
    with pytest.raises(NotSent, match="cannot cancel"):
        await Unified().cancel(client, BTC, "7", False, STAMP)
    assert client.done == []


def test_prices_stay_within_their_bound() -> None:
    assert bounded(Scripted(), BTC, Side.BUY, D("64000.9")) == D("64000.5")
    assert bounded(Scripted(), BTC, Side.SELL, D("64000.1")) == D("64000.5")


def test_without_a_tick_no_price_is_asked_for() -> None:
    with pytest.raises(NotSent, match="no tick size"):
        bounded(Scripted(), SPOT, Side.BUY, D(64000))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("PermissionDenied", Reason.CREDENTIALS_REJECTED),
        ("AuthenticationError", Reason.CREDENTIALS_REJECTED),
        ("OrderNotFound", Reason.EXCHANGE_REFUSED),
        ("InsufficientFunds", Reason.EXCHANGE_REFUSED),
        ("InvalidOrder", Reason.EXCHANGE_REFUSED),
        ("BadSymbol", Reason.UNKNOWN_SYMBOL),
        ("InvalidNonce", Reason.EXCHANGE_CLOCK_SKEW),
        ("RateLimitExceeded", Reason.RATE_LIMITED),
        ("DuplicateOrderId", None),
        ("ExchangeError", None),
        ("RequestTimeout", None),
        ("OnMaintenance", None),
        ("BadResponse", None),
    ],
)
def test_only_a_plain_no_proves_that_nothing_happened(name: str, reason: Reason | None) -> None:
    error = getattr(library.errors(), name)("with upstream's words")
    for status in (200, 400):
        denial = Unified().denied(status, None, error)
        assert (denial and denial.reason) == reason
        assert "upstream" not in str(denial)
    for status in (408, 500, 503):
        assert Unified().denied(status, None, error) is None


def test_a_second_request_of_one_call_does_not_leave() -> None:
    checks: list[int] = []
    once = Once(lambda: checks.append(1))
    once.leave()
    with pytest.raises(OutcomeUnknown, match="nothing is sent twice"):
        once.leave()
    assert checks == [1]
