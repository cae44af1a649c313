"""What can truly be wrong with an account, kind by kind: how it comes about, and by which rule it must be found."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from tests.simulation.bot import NO_DRIFT, Drift
from tests.simulation.exchange import ZERO, Leg
from tests.simulation.nature import PREFIXES, Nature
from tests.simulation.world import World
from tests.support.fakes import BTC

from accountsync.cycle import INSIST_AFTER
from accountsync.domain.account import Order, PositionSide, Side
from accountsync.domain.catalogue import Rule

LEAST = Decimal("0.1")
"""A position that there is no doubt about: what is below a step is none."""


def _nothing() -> None:
    return None


@dataclass(slots=True)
class Injected:
    """`rules`: what must be found, all of it, by the observer of `number` (None: by whoever has a stake) and nothing
    else. `end`: puts it right. `goes_on`: for how long it stays: False where a finding resolves by itself.
    `turns`: called once each cycle.
    """

    rules: frozenset[Rule]
    number: int | None = 0
    end: Callable[[], None] = _nothing
    goes_on: bool = True
    turns: list[Callable[[], None]] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Kind:
    """`possible`: in which worlds it can come about. `busy`: the symbol is traded all the time. `patience`: cycles that
    it takes besides. `remedied`: how much more often than others it is done where something can be done about it.
    """

    inject: Callable[[World], Injected]
    possible: Callable[[Nature], bool]
    busy: bool = False
    patience: int = 0
    remedied: int = 0

    @property
    def name(self) -> str:
        return self.inject.__name__.replace("_", " ")


KINDS: list[Kind] = []
Inject = Callable[[World], Injected]


def kind(
    possible: Callable[[Nature], bool] = lambda _: True,
    *,
    busy: bool = False,
    patience: int = 0,
    remedied: int = 0,
) -> Callable[[Inject], Inject]:
    """Enter a function into the list."""

    def enter(inject: Inject) -> Inject:
        KINDS.append(Kind(inject, possible, busy, patience, remedied))
        return inject

    return enter


# --- orders -----------------------------------------------------------------------------------------------------------


def _place(world: World, name: str, number: int = 0, **how: object) -> Order:
    leg = PositionSide.LONG if world.nature.hedged else PositionSide.NET
    count = len(world.account.versions)
    client_id = f"{PREFIXES[number]}{name}{count}" if number >= 0 else f"{name}{count}"
    return world.account.place(BTC, client_id=client_id, leg=leg, owner=number, **how)  # type: ignore[arg-type]


def _drift(world: World, number: int, drift: Drift) -> None:
    world.bots[number].drift = drift


def _found(world: World, rule: Rule, number: int, order: Order | None = None) -> Injected:
    """A drift of orders that ends when the bot learns of it."""

    def end() -> None:
        if order is not None and (order.symbol, order.ref) in world.account.orders:
            world.account.end(order)
        _drift(world, number, NO_DRIFT)

    return Injected(frozenset({rule}), number, end)


def _some_bot(world: World) -> int:
    return world.dice.randrange(world.nature.bots)


@kind()
def an_order_by_hand(world: World) -> Injected:
    order = _place(world, "web_", -1)
    return _found(world, Rule.UNEXPECTED_ORDER, 0, order)


@kind(remedied=3)
def an_order_that_the_bot_lost(world: World) -> Injected:
    number = _some_bot(world)
    order = _place(world, "lost", number)
    _drift(world, number, Drift(forgotten=frozenset({(BTC, order.ref)})))
    return _found(world, Rule.UNEXPECTED_ORDER, number)


@kind(patience=INSIST_AFTER, remedied=2)  # the symbol may be one that is never settled
def an_old_order_that_the_bot_forgets(world: World) -> Injected:
    number = _some_bot(world)
    own = world.account.open_of(world.account.traded, number) or [_place(world, "old", number)]
    order = world.dice.choice(own)
    world.trader.spared.add((order.symbol, order.ref))
    _drift(world, number, Drift(forgotten=frozenset({(order.symbol, order.ref)})))
    return _found(world, Rule.UNEXPECTED_ORDER, number)


@kind()
def a_conditional_order_that_the_bot_does_not_know(world: World) -> Injected:
    order = _place(world, "web_stop", -1, price=None, trigger=Decimal(90))
    return _found(world, Rule.UNEXPECTED_ORDER, 0, order)


@kind(remedied=1)
def a_cancel_that_the_bot_missed(world: World) -> Injected:
    number = _some_bot(world)
    order = _place(world, "gone", number)
    _drift(world, number, Drift(added=(world.bots[number].named(order, order),)))
    world.account.end(order)
    return _found(world, Rule.MISSING_ORDER, number)


@kind()
def a_cancelled_stop_that_the_bot_trusts_in(world: World) -> Injected:
    number = _some_bot(world)
    order = _place(world, "stop", number, price=None, trigger=Decimal(90))
    _drift(world, number, Drift(added=(world.bots[number].named(order, order),)))
    world.account.end(order)
    return _found(world, Rule.MISSING_ORDER, number)


@kind()
def an_order_that_never_arrived(world: World) -> Injected:
    number = _some_bot(world)
    never = Order("777", f"{PREFIXES[number]}never", BTC, Side.BUY, Decimal(1), ZERO, Decimal(99))
    _drift(world, number, Drift(added=(world.bots[number].named(never, never),)))
    return _found(world, Rule.MISSING_ORDER, number)


def _divergence(world: World, changes: dict[str, object]) -> Injected:
    number = _some_bot(world)
    order = _place(world, "other", number, quantity=Decimal(4))
    _drift(world, number, Drift(altered={(BTC, order.ref): changes}))
    return _found(world, Rule.ORDER_DIVERGENCE, number, order)


@kind(remedied=1)
def a_price_changed_by_another_tool(world: World) -> Injected:
    return _divergence(world, {"price": Decimal(101)})


@kind()
def an_order_of_the_wrong_side(world: World) -> Injected:
    return _divergence(world, {"side": Side.SELL})


@kind()
def a_partial_fill_that_the_bot_only_dreamt_of(world: World) -> Injected:
    """It comes true in the end."""
    injected = _divergence(world, {"filled": Decimal(1)})
    order = next(reversed(world.account.orders.values()))

    def end() -> None:
        if (order.symbol, order.ref) in world.account.orders:
            world.account.fill(order, Decimal(1))
        for bot in world.bots:
            bot.drift = NO_DRIFT

    return replace(injected, end=end)


@kind()
def an_amendment_to_another_size(world: World) -> Injected:
    """Under a new id; the bot follows it, and believes what it amended to is smaller."""
    number = _some_bot(world)
    order = _place(world, "amended", number, quantity=Decimal(4))
    new = world.account.succeed(order, price=Decimal(98), client_id=order.client_id)
    _drift(world, number, Drift(altered={(BTC, new.ref): {"quantity": Decimal(3)}}))
    return _found(world, Rule.ORDER_DIVERGENCE, number, new)


# --- positions --------------------------------------------------------------------------------------------------------


def _leg(world: World) -> Leg:
    return BTC, PositionSide.LONG if world.nature.hedged else PositionSide.NET


def _offset(world: World, offset: Decimal) -> Injected:
    number = _some_bot(world)
    _drift(world, number, Drift(offsets={_leg(world): offset}))

    def end() -> None:
        _drift(world, number, NO_DRIFT)

    return Injected(frozenset({Rule.POSITION_MISMATCH}), None, end)


@kind(remedied=1)
def a_position_that_the_bot_imagines(world: World) -> Injected:
    return _offset(world, Decimal(7))


@kind(lambda nature: nature.hedged)
def legs_that_cancel_each_other(world: World) -> Injected:
    """The bot believes in as much on both legs, which nets to nothing."""
    long, short = (BTC, PositionSide.LONG), (BTC, PositionSide.SHORT)
    _drift(world, 0, Drift(offsets={long: Decimal(5), short: Decimal(5)}))
    return Injected(frozenset({Rule.POSITION_MISMATCH}), None, lambda: _drift(world, 0, NO_DRIFT))


@kind(lambda nature: nature.tells_fills and nature.bots == 1 and not nature.hedged, busy=True)
def an_offset_where_all_is_busy(world: World) -> Injected:
    return _offset(world, Decimal("1000.5"))


@kind(remedied=1)
def a_fill_that_the_bot_missed(world: World) -> Injected:
    number = _some_bot(world)
    order = _place(world, "filled", number, quantity=Decimal(3))
    _drift(world, number, Drift(added=(world.bots[number].named(order, order),), offsets={_leg(world): Decimal(-3)}))
    world.account.fill(order, Decimal(3))
    injected = _found(world, Rule.MISSING_ORDER, number)
    injected.number = None
    injected.rules = frozenset({Rule.MISSING_ORDER, Rule.POSITION_MISMATCH})
    return injected


# --- fills that are nobody's ------------------------------------------------------------------------------------------


def _foreign(world: World, side: Side, quantity: Decimal) -> str:
    order = _place(world, "tool_", -1, side=side, quantity=quantity)
    return f"fill:{world.account.fill(order, quantity).id}"


def _hold_something(world: World) -> bool:
    """Let there be a position; whether there was one before.

    Where flat positions are not listed, one that comes and goes between two snapshots is never seen, and one that went
    is forgotten by a restart before it is confirmed.
    """
    held = world.account.positions.get(_leg(world))
    if held is not None and abs(held.quantity) >= 1:
        return True
    order = _place(world, "big", 0, quantity=Decimal("8.25"))
    world.account.fill(order, Decimal("8.25"))
    return False


@kind(lambda nature: nature.tells_fills)
def another_tool_that_goes_in_and_out(world: World) -> Injected:
    """What it leaves behind is the position as it was."""
    injected = Injected(frozenset({Rule.UNATTRIBUTED_FILL}), None, goes_on=False)
    _hold_something(world)
    injected.foreign.add(_foreign(world, Side.BUY, Decimal("5.25")))

    def out() -> None:
        injected.foreign.add(_foreign(world, Side.SELL, Decimal("5.25")))

    injected.turns.append(out)
    return injected


@kind(lambda nature: nature.tells_fills and nature.bots == 1)
def a_liquidation(world: World) -> Injected:
    """The bot knows what it holds, and did not trade."""
    symbol, side = _leg(world)
    held = _hold_something(world)
    whole = world.nature.lists_flat or not world.nature.restarts
    kinds = ["liquidation", "auto-deleveraging"] if whole and held else ["auto-deleveraging"]
    fill = world.trader.liquidate(symbol, side, world.dice.choice(kinds))
    return Injected(frozenset({Rule.UNATTRIBUTED_FILL}), None, goes_on=False, foreign={f"fill:{fill.id}"})


@kind(lambda nature: nature.bots == 1)
def a_liquidation_that_the_bot_missed(world: World) -> Injected:
    symbol, side = leg = _leg(world)
    order = _place(world, "big", 0, quantity=Decimal("11.0625"))
    world.account.fill(order, Decimal("11.0625"))
    before = world.account.positions[leg].quantity
    fill = world.trader.liquidate(symbol, side, "auto-deleveraging")
    lost = before - world.account.positions[leg].quantity
    rules = {Rule.POSITION_MISMATCH} | ({Rule.UNATTRIBUTED_FILL} if world.nature.tells_fills else set())
    _drift(world, 0, Drift(offsets={leg: lost}))
    return Injected(frozenset(rules), None, lambda: _drift(world, 0, NO_DRIFT), foreign={f"fill:{fill.id}"})


# --- what may be done about, besides ----------------------------------------------------------------------------------


@kind(lambda nature: nature.acts and nature.bots == 1, remedied=4)
def a_position_that_the_bot_lost(world: World) -> Injected:
    """It believes that it is flat."""
    leg = _open_anew(world)
    _drift(world, 0, Drift(offsets={leg: -world.account.shares[0].get(leg, ZERO)}))

    def end() -> None:
        _own_up(world, leg)

    return Injected(frozenset({Rule.POSITION_MISMATCH}), 0, end)


@kind(lambda nature: nature.acts and nature.bots == 1, remedied=4)
def a_position_that_the_bot_lost_with_its_stop(world: World) -> Injected:
    leg = _open_anew(world)
    held = world.account.positions[leg].quantity
    side = Side.SELL if held > 0 else Side.BUY
    stop = _place(world, "leftover", 0, price=None, trigger=Decimal(90), side=side)
    lost = Drift(offsets={leg: -world.account.shares[0].get(leg, ZERO)}, forgotten=frozenset({(stop.symbol, stop.ref)}))
    _drift(world, 0, lost)

    def end() -> None:
        _own_up(world, leg)

    return Injected(frozenset({Rule.POSITION_MISMATCH, Rule.UNEXPECTED_ORDER}), 0, end)


@kind(lambda nature: nature.acts and nature.bots == 1, remedied=4)
def a_position_that_another_tool_left(world: World) -> Injected:
    leg = _leg(world)
    _close(world, leg)
    fill = _foreign(world, Side.BUY, Decimal("5.25"))
    rules = {Rule.POSITION_MISMATCH} | ({Rule.UNATTRIBUTED_FILL} if world.nature.tells_fills else set())
    return Injected(frozenset(rules), 0, lambda: _own_up(world, leg), foreign={fill})


@kind(lambda nature: nature.acts, remedied=4)
def several_orders_that_the_bot_lost(world: World) -> Injected:
    number = _some_bot(world)
    orders = [_place(world, "lost", number, price=Decimal(90 + count)) for count in range(3)]
    _drift(world, number, Drift(forgotten=frozenset((BTC, order.ref) for order in orders)))
    return _found(world, Rule.UNEXPECTED_ORDER, number)


@kind(lambda nature: nature.acts and nature.bots == 1, remedied=2)
def every_order_of_the_account_that_the_bot_lost(world: World) -> Injected:
    """It is not its whole memory that it lost: it knows what it holds."""
    world.trader.quiet = True
    _hold_something(world)
    _place(world, "last", 0)
    forgotten = frozenset(world.account.orders)
    _drift(world, 0, Drift(forgotten=forgotten))
    return Injected(frozenset({Rule.UNEXPECTED_ORDER}), 0, lambda: _drift(world, 0, NO_DRIFT))


def _close(world: World, leg: Leg) -> None:
    """The bot closes what it has."""
    held = world.account.positions[leg].quantity if leg in world.account.positions else ZERO
    if held:
        order = _place(world, "out", 0, side=Side.SELL if held > 0 else Side.BUY, quantity=abs(held))
        world.account.fill(order, abs(held))


def _open_anew(world: World) -> Leg:
    """The bot holds something, all of it its own."""
    leg = _leg(world)
    if world.dice.random() < 0.8:
        _close(world, leg)
    side = Side.BUY if world.nature.hedged else world.dice.choice(list(Side))
    quantity = Decimal(world.dice.choice(["8.25", "2.0005", "0.75"]))
    held = world.account.positions[leg].quantity if leg in world.account.positions else ZERO
    if abs(held + (quantity if side is Side.BUY else -quantity)) < LEAST:
        _close(world, leg)  # else next to nothing would be left of both
    world.account.fill(_place(world, "big", 0, side=side, quantity=quantity), quantity)
    return leg


def _own_up(world: World, leg: Leg) -> None:
    """The bot takes what is there for its own."""
    row = world.account.positions.get(leg)
    world.account.shares[0][leg] = row.quantity if row else ZERO
    _drift(world, 0, NO_DRIFT)


# --- the wallet, and the exchange itself ------------------------------------------------------------------------------


@kind(remedied=1)
def a_wallet_that_no_income_explains(world: World) -> Injected:
    _drift(world, 0, Drift(wallet=Decimal("-33.33")))
    return Injected(frozenset({Rule.BALANCE_MISMATCH}), 0, lambda: _drift(world, 0, NO_DRIFT))


def _corrupt(world: World, how: str, rule: Rule) -> Injected:
    if not world.account.orders:
        _place(world, "any", 0)
    world.port.corrupt = how

    def end() -> None:
        world.port.corrupt = ""

    return Injected(frozenset({rule}), None, end)


@kind()
def an_order_listed_twice(world: World) -> Injected:
    return _corrupt(world, "twice", Rule.DUPLICATE_KEY)


@kind()
def a_quantity_below_zero(world: World) -> Injected:
    return _corrupt(world, "negative", Rule.NEGATIVE_QUANTITY)
