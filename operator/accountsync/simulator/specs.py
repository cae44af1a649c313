"""What scenario files and the control interface say, parsed once: pydantic models of accounts, keys, orders and faults.

Amounts are strings or numbers; a string keeps every digit.
"""

from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from accountsync.simulator.algo import AlgoOrder
from accountsync.simulator.faults import Fault
from accountsync.simulator.model import Account, ApiKey, Order, Position
from accountsync.simulator.world import World


def _exact(value: object) -> object:
    """A float is read as it is written: 0.1 is one tenth."""
    return str(value) if isinstance(value, float) else value


Amount = Annotated[Decimal, BeforeValidator(_exact)]


class Spec(BaseModel):
    """Unknown fields are an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KeySpec(Spec):
    """A key; made up from the seed unless given."""

    permissions: tuple[Literal["read", "trade"], ...] = ("read",)
    api_key: str | None = None
    secret: str | None = None

    def create(self, world: World, account: Account) -> ApiKey:
        """Add it to the account."""
        return world.create_key(account, permissions=self.permissions, api_key=self.api_key, secret=self.secret)


class OrderSpec(Spec):
    """A limit order placed by hand."""

    symbol: str
    side: Literal["BUY", "SELL"]
    price: Amount
    quantity: Amount
    client_order_id: str | None = None
    position_side: Literal["BOTH", "LONG", "SHORT"] = "BOTH"
    time_in_force: str = "GTC"
    reduce_only: bool = False

    def place(self, world: World, account: Account) -> Order:
        """Put it in the book."""
        return world.place_order(account, **self.model_dump())


class AlgoOrderSpec(Spec):
    """A conditional order placed by hand; what each type needs: `AlgoDesk.place`."""

    symbol: str
    side: Literal["BUY", "SELL"]
    order_type: Literal["STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"]
    trigger_price: Amount | None = None
    quantity: Amount | None = None
    price: Amount | None = None
    position_side: Literal["BOTH", "LONG", "SHORT"] = "BOTH"
    time_in_force: str = "GTC"
    working_type: Literal["CONTRACT_PRICE", "MARK_PRICE"] = "CONTRACT_PRICE"
    close_position: bool = False
    reduce_only: bool = False
    price_protect: bool = False
    activate_price: Amount | None = None
    callback_rate: Amount | None = None
    client_algo_id: str | None = None

    def place(self, world: World, account: Account) -> AlgoOrder:
        """Let it wait for its trigger price."""
        return world.algos.place(account, **self.model_dump())


class DepthSpec(Spec):
    """What others offer of a symbol; what is not given stays as it was. `levels` a side, `spacing` apart."""

    levels: int | None = Field(default=None, ge=0)
    quantity: Amount | None = None
    spacing: Amount | None = None
    refills: bool | None = None

    def put(self, world: World, symbol: str) -> None:
        """Set the symbol's book."""
        before = world.books.depth(world.spec(symbol).symbol)
        world.books.set_depth(symbol, replace(before, **self.model_dump(exclude_none=True)))


class PositionSpec(Spec):
    """A position as if it had always been there; `amount` is signed."""

    symbol: str
    amount: Amount
    entry_price: Amount | None = None
    position_side: Literal["BOTH", "LONG", "SHORT"] = "BOTH"
    isolated_wallet: Amount = Decimal(0)
    leverage: int | None = None
    margin_type: Literal["cross", "isolated"] | None = None

    def put(self, world: World, account: Account) -> Position:
        """Set the symbol's settings first, then the position."""
        if self.leverage is not None:
            world.set_leverage(account, self.symbol, self.leverage)
        if self.margin_type is not None:
            world.set_margin_type(account, self.symbol, self.margin_type)
        return world.set_position(
            account,
            self.symbol,
            self.amount,
            entry_price=self.entry_price,
            position_side=self.position_side,
            isolated_wallet=self.isolated_wallet,
        )


class AccountSpec(Spec):
    """An account with everything in it."""

    name: str = Field(min_length=1)
    wallet: dict[str, Amount] = Field(default_factory=dict)
    hedge_mode: bool = False
    keys: tuple[KeySpec, ...] = ()
    positions: tuple[PositionSpec, ...] = ()
    orders: tuple[OrderSpec, ...] = ()
    algo_orders: tuple[AlgoOrderSpec, ...] = ()

    def create(self, world: World) -> tuple[Account, list[ApiKey]]:
        """Open the account and fill it."""
        account = world.create_account(self.name, wallet=self.wallet, hedge_mode=self.hedge_mode)
        keys = [key.create(world, account) for key in self.keys]
        for position in self.positions:
            position.put(world, account)
        for order in self.orders:
            order.place(world, account)
        for algo in self.algo_orders:
            algo.place(world, account)
        return account, keys


class FaultSpec(Spec):
    """A fault; `options` are the arguments of that kind's class method on `Fault`."""

    kind: Literal[
        "latency", "http_error", "maintenance", "overloaded", "hang", "reset", "truncated", "stale", "duplicated",
        "negative_quantity", "unparsable_quantity", "clock_skew", "reorder", "late", "unknown_outcome",
    ]  # fmt: skip
    path: str = "*"
    method: str = "*"
    account: str | None = None
    key: str | None = None
    times: int | None = Field(default=None, ge=1)
    probability: float = Field(default=1.0, ge=0, le=1)
    executed: bool | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    def fault(self) -> Fault:
        """Raises TypeError for options that the kind does not have."""
        chosen = self.model_dump(exclude={"kind", "options"}, exclude_none=True)
        make = getattr(Fault, self.kind)
        made: Fault = make(**self.options, **chosen)
        return made


class Scenario(Spec):
    """What a simulator starts with. `marks` are mark prices by symbol, `books` what others offer."""

    marks: dict[str, Amount] = Field(default_factory=dict)
    books: dict[str, DepthSpec] = Field(default_factory=dict)
    accounts: tuple[AccountSpec, ...] = ()
    faults: tuple[FaultSpec, ...] = ()


__all__ = [
    "AccountSpec",
    "AlgoOrderSpec",
    "DepthSpec",
    "FaultSpec",
    "KeySpec",
    "OrderSpec",
    "PositionSpec",
    "Scenario",
    "Spec",
]
