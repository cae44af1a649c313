"""Whether a bot obeys its hold: what counts as disobedience, what never does, and that each order is told once."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.support.rows import BTC, ETH, NOW, account, belief, believed, fill, order

from accountsync.domain.account import AccountSnapshot, Fill, Order, OrderStatus, Part, Position, PositionSide, Side
from accountsync.domain.detect import Background, Evidence
from accountsync.domain.expected import ExpectedState
from accountsync.domain.fills import FillLog
from accountsync.domain.finding import Answers, Question
from accountsync.domain.held import Held, Honour, Offence, Suspect
from accountsync.domain.honour import KEPT, MARGIN_MS, Listed, Look
from accountsync.domain.honour import look as look_at
from accountsync.domain.past import placed
from accountsync.domain.policy import Policy
from accountsync.domain.sharing import Sharing, Sibling

NET, LONG, SHORT = PositionSide.NET, PositionSide.LONG, PositionSide.SHORT
ALLOWANCE = 10_000
OURS = Policy(order_id_prefix="bot_", pause_allowance_ms=ALLOWANCE)
HELD = Held(NOW)
LIMIT = NOW + ALLOWANCE + MARGIN_MS
AFTER, BEFORE = LIMIT + 1, LIMIT
"""Created just after the bot may place orders, and at the last moment at which it may."""
LOG = FillLog(NOW - 1)
"""Nothing was traded."""


def placed_by_bot(id_: str = "9", *, created: int | None = AFTER, **fields: Any) -> Order:
    return order(id_, **({"client_id": f"bot_{id_}", "created": created} | fields))


def held(quantity: str, side: PositionSide = NET, symbol: str = BTC) -> Position:
    return Position(symbol, side, Decimal(quantity))


def evidence(
    *rows: Any,
    expected: ExpectedState | None = None,
    policy: Policy = OURS,
    answers: Answers | None = None,
    fills: FillLog | None = LOG,
    sharing: Sharing | None = None,
    **fields: Any,
) -> Evidence:
    snapshot = account(*rows, **({"timestamp": LIMIT + 60_000} | fields))
    return Evidence(snapshot, expected, policy, answers or {}, Background(sharing or Sharing(), fills))


def look(memory: Honour, since: Held | None, now: Evidence, before: AccountSnapshot | None) -> Look:
    """As long after the reading before as fills may be told late, and with all fills since then."""
    fills = now.background.fills
    every: Listed = (0, fills.recent.get(BTC, ()) if fills else ())
    earlier = replace(now.snapshot, orders=(), timestamp=now.snapshot.timestamp - OURS.order_grace_ms)
    return look_at(memory, since, now, before or earlier, {BTC: every})


def seen(
    *rows: Any,
    since: Held | None = HELD,
    before: AccountSnapshot | None = None,
    memory: Honour | None = None,
    **fields: Any,
) -> Look:
    return look(memory or Honour(), since, evidence(*rows, **fields), before)


def refs(offences: Iterable[Offence]) -> list[str]:
    return [offence.ref for offence in offences]


# --- when ------------------------------------------------------------------------------------------------------------


def test_an_order_that_adds_exposure_and_was_placed_later_than_it_takes_to_obey_is_told() -> None:
    (offence,) = seen(placed_by_bot()).offences
    assert offence.message == (
        "buy 2 BTC/USDT:USDT (order 9, client id bot_9) was placed 11.0 s after the bot could know of its hold, and it"
        " adds exposure"
    )


def test_the_bot_has_its_allowance_and_what_the_clocks_may_differ() -> None:
    assert not seen(placed_by_bot(created=BEFORE)).offences


def test_an_exchange_whose_clock_is_ahead_gives_the_bot_no_less_time() -> None:
    assert not seen(placed_by_bot(created=AFTER + 4_999), skew_ms=5_000).offences
    assert seen(placed_by_bot(created=AFTER + 5_000), skew_ms=5_000).offences


def test_an_exchange_whose_clock_is_behind_makes_no_early_order_late() -> None:
    assert not seen(placed_by_bot(created=BEFORE), skew_ms=-5_000).offences


def test_an_order_without_a_time_is_unknown_and_accuses_nobody() -> None:
    found = seen(placed_by_bot(created=None))
    assert not found.offences
    later = look(found.memory, HELD, evidence(placed_by_bot()), None)
    assert later.offences, "once the time is told it counts"


def test_without_a_hold_there_is_nothing_to_obey() -> None:
    assert seen(placed_by_bot(), since=None) == Look()


# --- whose -----------------------------------------------------------------------------------------------------------


def test_an_order_of_nobody_known_is_not_the_bots() -> None:
    assert not seen(placed_by_bot(client_id="hand-1")).offences


@pytest.mark.parametrize("prefix", ["bot_", ""])
def test_an_order_that_the_bot_tracks_is_its_own_whatever_its_name(prefix: str) -> None:
    row = placed_by_bot(client_id="x")
    policy = replace(OURS, order_id_prefix=prefix)
    assert not seen(row, policy=policy).offences
    assert seen(row, policy=policy, expected=belief(believed(row))).offences


def test_the_ordinary_order_that_the_bot_tracks_makes_a_conditional_one_of_that_id_not_its_own() -> None:
    row = placed_by_bot(client_id="x", conditional=True)
    tracked = belief(believed(row, client_id=""))
    assert not seen(row, policy=replace(OURS, order_id_prefix=""), expected=tracked).offences


def test_another_bots_order_is_that_bots_to_answer_for() -> None:
    shared = Sharing((Sibling("other", "bot_b_", None),))
    assert not seen(placed_by_bot(client_id="bot_b_1"), sharing=shared).offences
    assert seen(placed_by_bot(client_id="bot_a_1"), sharing=shared).offences


@pytest.mark.parametrize("name", ["bot_9", placed(BTC, "9")])
def test_what_our_own_actions_placed_is_no_disobedience(name: str) -> None:
    assert not seen(placed_by_bot(), policy=replace(OURS, acted=frozenset({name}))).offences


def test_what_the_exchange_placed_is_no_disobedience() -> None:
    assert not seen(placed_by_bot(forced="liquidation")).offences


# --- what it does ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("positions", "row", "adds"),
    [
        ([], {}, True),
        ([], {"reduce_only": True}, False),
        ([held("1")], {}, True),
        ([held("-2")], {}, False),
        ([held("-2")], {"quantity": Decimal(3)}, True),
        ([held("-2")], {"quantity": Decimal(3), "filled": Decimal(1)}, False),
        ([held("2")], {"side": Side.SELL}, False),
        ([held("1.9")], {"side": Side.SELL}, True),
        ([held("2", LONG)], {}, True),
        ([held("2", SHORT)], {}, False),
        ([held("2", SHORT)], {"quantity": Decimal(3)}, True),
        ([held("2", LONG), held("5", SHORT)], {"side": Side.SELL}, False),
        ([held("-9", symbol=ETH)], {}, True),
        ([], {"conditional": True, "trigger_price": Decimal(90)}, True),
        ([], {"conditional": True, "quantity": Decimal(0), "reduce_only": True}, False),
    ],
)
def test_a_reduce_only_hold_allows_what_can_only_bring_a_position_down(
    positions: list[Position], row: dict[str, Any], adds: bool
) -> None:
    assert bool(seen(placed_by_bot(**row), *positions).offences) == adds


def test_halt_allows_no_exit_either() -> None:
    exit_order = placed_by_bot(side=Side.SELL, reduce_only=True)
    (offence,) = seen(exit_order, held("2"), since=Held(NOW, halted=NOW)).offences
    assert offence.message.endswith("while exits are stopped too")


def test_an_exit_of_before_the_halt_was_allowed_when_it_was_placed() -> None:
    exit_order = placed_by_bot(reduce_only=True)
    assert not seen(exit_order, since=Held(NOW, halted=AFTER)).offences
    opening = placed_by_bot()
    assert seen(opening, since=Held(NOW, halted=AFTER)).offences, "an opening one was not"


def test_an_exit_whose_position_another_exit_closed_is_no_opening_order() -> None:
    exit_order = placed_by_bot(side=Side.SELL)
    first = seen(exit_order, held("2"))
    assert not look(first.memory, HELD, evidence(exit_order), None).offences, "as it was seen before"
    before = account(held("2"), timestamp=LIMIT + 50_000)
    assert not seen(exit_order, before=before).offences, "where the reading before still lists the position"
    sold = fill("t1", at=AFTER - NOW + 5, bought="-2", order_id="8")
    log = FillLog(NOW - 1, recent={BTC: (sold,)})
    assert not seen(exit_order, fills=log, answers={Question(BTC, "8", conditional=False): None}).offences


@pytest.mark.parametrize("fields", [{"missing": frozenset({Part.POSITIONS})}, {"unsettled": frozenset({BTC})}])
def test_where_the_position_is_not_known_nothing_is_said_yet(fields: dict[str, Any]) -> None:
    found = seen(placed_by_bot(), **fields)
    assert not found.offences
    assert look(found.memory, HELD, evidence(placed_by_bot()), None).offences, "and it is when it is known"
    halted = Held(NOW, halted=NOW)
    assert seen(placed_by_bot(), since=halted, **fields).offences, "Halt asks for no position"


# --- what may have been an exit -------------------------------------------------------------------------------------

EXIT = placed_by_bot(side=Side.SELL, quantity=Decimal(5))
T0 = LIMIT + 60_000


def looked(
    *rows: Any,
    memory: Honour | None = None,
    before: int | None = T0 - 15_000,
    fills: FillLog | None = LOG,
    told: Mapping[str, Listed] | None = None,
    at: int = T0,
) -> Look:
    """Flat now and, where it was read, `before`. `told`: the fills that the exchange was asked for."""
    earlier = None if before is None else account(timestamp=before)
    return look_at(memory or Honour(), HELD, evidence(*rows, fills=fills, timestamp=at), earlier, told or {})


@pytest.mark.parametrize(
    "fills",
    [None, FillLog(0, unread=frozenset({BTC})), FillLog(0, late={BTC: T0 + 1})],
    ids=["the exchange tells none", "unread", "late"],
)
@pytest.mark.parametrize("before", [None, T0 - 15_000], ids=["restarted", "flat before"])
def test_an_order_is_not_accused_while_nobody_knows_what_it_could_close(
    fills: FillLog | None, before: int | None
) -> None:
    found = looked(EXIT, fills=fills, before=before, told={BTC: (0, ())})
    assert (found.offences, found.lists) == ((), {})
    later = looked(EXIT, memory=found.memory, told={BTC: (0, ())}, at=T0 + 15_000)
    assert refs(later.offences) == ["9"], "it is once that is known"


def test_the_fills_since_an_order_are_asked_for_before_it_is_accused() -> None:
    asking = looked(EXIT)
    assert (asking.offences, asking.lists) == ((), {BTC: AFTER})
    part = looked(EXIT, memory=asking.memory, told={BTC: (AFTER + 1, ())})
    assert not part.offences, "they do not reach back to it"
    assert refs(looked(EXIT, memory=asking.memory, told={BTC: (AFTER, ())}).offences) == ["9"]
    sold = fill("t1", at=AFTER - NOW + 5, bought="-5", order_id="8")
    exited = looked(EXIT, memory=asking.memory, told={BTC: (AFTER, (sold,))})
    assert not exited.offences
    assert not looked(EXIT, memory=exited.memory, told={BTC: (AFTER, ())}).offences, "it was settled"


def test_fills_may_be_told_late_so_the_first_reading_of_a_process_accuses_nobody() -> None:
    first = looked(EXIT, before=None)
    soon = looked(EXIT, memory=first.memory, before=T0, at=T0 + OURS.order_grace_ms - 1)
    assert (first.lists, soon.lists) == ({}, {})
    assert looked(EXIT, memory=soon.memory, before=T0 + 1, at=T0 + OURS.order_grace_ms).lists == {BTC: AFTER}


def test_fills_newer_than_the_reading_say_nothing_of_it() -> None:
    bought = fill("t1", at=T0 - NOW + 1, bought="5", order_id="8")
    assert not looked(EXIT, told={BTC: (AFTER, (bought,))}).offences
    assert looked(EXIT, told={BTC: (AFTER, (replace(bought, time=T0),))}).offences


def test_an_order_that_leaves_before_it_could_be_judged_is_judged_all_the_same() -> None:
    first = looked(EXIT, before=None)
    assert refs(looked(memory=first.memory, told={BTC: (AFTER, ())}, at=T0 + 15_000).offences) == ["9"]


def test_one_that_waits_for_judgement_takes_no_trigger_that_leaves_later() -> None:
    stop = placed_by_bot("1", created=NOW - 1, conditional=True, client_id="bot_stop", quantity=Decimal(5))
    stop = replace(stop, side=Side.SELL)
    first = looked(stop, EXIT, before=None)
    child = replace(EXIT, id="10", client_id="bot_10")
    later = looked(EXIT, child, memory=first.memory, told={BTC: (0, ())}, at=T0 + 15_000)
    assert refs(later.offences) == ["9"]


# --- what was there before -------------------------------------------------------------------------------------------


def test_a_resting_order_and_what_amended_it_is_none() -> None:
    resting = placed_by_bot("1", created=NOW - 60_000)
    assert not seen(resting).offences
    again = placed_by_bot("2", client_id="bot_1")
    assert not seen(again, before=account(resting)).offences, "by the client id that it kept"
    replaced = replace(resting, status=OrderStatus.CANCELED, successor="2")
    said = {Question(BTC, "1"): replaced}
    assert not seen(placed_by_bot("2"), answers=said).offences, "by the exchange's word"
    late = {Question(BTC, "1"): replace(replaced, created=AFTER)}
    assert seen(placed_by_bot("2"), answers=late).offences


def test_the_child_of_a_conditional_order_of_before_is_none_and_it_has_but_one() -> None:
    stop = placed_by_bot("1", created=NOW - 1, conditional=True, client_id="bot_stop")
    waiting = seen(stop)
    child, other = placed_by_bot("2"), placed_by_bot("3")
    beside = look(waiting.memory, HELD, evidence(stop, child), None)
    assert refs(beside.offences) == ["2"], "it is no child of an order that still waits"
    triggered = look(waiting.memory, HELD, evidence(child), None)
    assert not triggered.offences
    assert refs(look(triggered.memory, HELD, evidence(child, other), None).offences) == ["3"]


def test_a_conditional_order_of_another_quantity_has_no_such_child() -> None:
    stop = placed_by_bot("1", created=NOW - 1, conditional=True, client_id="bot_stop", quantity=Decimal(1))
    assert seen(placed_by_bot("2"), before=account(stop)).offences


# --- once ------------------------------------------------------------------------------------------------------------


def test_each_order_is_told_once() -> None:
    first = seen(placed_by_bot())
    second = look(first.memory, HELD, evidence(placed_by_bot(), placed_by_bot("10")), None)
    assert refs(second.offences) == ["10"]
    assert "order 10" in second.memory.last
    quiet = look(second.memory, HELD, evidence(placed_by_bot(), placed_by_bot("10")), None)
    assert not quiet.offences
    assert quiet.memory.last == second.memory.last, "what was told stands while the hold does"


def test_another_hold_begins_anew_and_tells_no_order_twice() -> None:
    first = seen(placed_by_bot())
    later = look(first.memory, Held(NOW + 1), evidence(placed_by_bot(created=AFTER + 10)), None)
    assert not later.offences
    assert later.memory.last == ""


def test_what_another_process_has_looked_at_is_not_told_by_this_one() -> None:
    known = Honour(HELD.since, known_to=AFTER, last="an order")
    assert not seen(placed_by_bot(), memory=known).offences
    assert refs(seen(placed_by_bot(created=AFTER + 1), memory=known).offences) == ["9"]


def test_what_is_remembered_is_bounded_and_forgets_nothing_that_can_be_seen() -> None:
    many = frozenset((BTC, str(number)) for number in range(KEPT))
    waiting = {(ETH, "8000"): Suspect(placed_by_bot("8000", symbol=ETH), LIMIT)}
    memory = Honour(HELD.since, told=many | {(BTC, "9000")}, suspects=waiting)
    found = seen(placed_by_bot("9000"), memory=memory)
    assert not found.offences
    assert found.memory.told == {(BTC, "9000")}
    assert not found.memory.suspects


# --- orders that were filled at once ---------------------------------------------------------------------------------


def log_of(*rows: Fill, proven: str | None = "1") -> FillLog:
    legs = {} if proven is None else {(BTC, NET): (rows[-1].time, Decimal(proven))}
    return FillLog(NOW - 1, recent={BTC: tuple(rows)}, proven=legs)


BOUGHT = fill("t1", at=AFTER - NOW + 5, order_id="9")
ASKED = Question(BTC, "9", conditional=False)


def test_the_order_behind_a_fill_that_opened_a_position_is_asked_for_and_then_judged() -> None:
    asking = seen(held("1"), fills=log_of(BOUGHT))
    assert (asking.offences, asking.questions) == ((), (ASKED,))
    told = look(asking.memory, HELD, evidence(held("1"), fills=log_of(BOUGHT), answers={ASKED: filled()}), None)
    assert refs(told.offences) == ["9"]
    again = look(told.memory, HELD, evidence(held("1"), fills=log_of(BOUGHT)), None)
    assert (again.offences, again.questions) == ((), ())


def filled(**fields: Any) -> Order:
    usual: dict[str, Any] = {
        "quantity": Decimal(1),
        "filled": Decimal(1),
        "status": OrderStatus.FILLED,
        "type": "market",
    }
    return placed_by_bot(**(usual | fields))


@pytest.mark.parametrize(
    "answer",
    [
        None,
        filled(created=BEFORE),
        filled(created=None),
        filled(client_id="hand"),
        filled(forced="liquidation"),
        filled(reduce_only=True),
    ],
    ids=["denied", "of before", "without a time", "a person's", "the exchange's", "reduce-only"],
)
def test_the_order_behind_a_fill_that_is_none_is_asked_for_once(answer: Order | None) -> None:
    found = seen(held("1"), fills=log_of(BOUGHT), answers={ASKED: answer})
    assert not found.offences
    assert not look(found.memory, HELD, evidence(held("1"), fills=log_of(BOUGHT)), None).questions


def test_a_fill_that_only_closed_asks_nothing() -> None:
    sold = fill("t1", at=AFTER - NOW + 5, bought="-1", order_id="9")
    found = seen(held("1"), fills=log_of(sold))
    assert (found.offences, found.questions) == ((), ())


def test_a_fill_that_turned_the_position_around_opened_one() -> None:
    sold = fill("t1", at=AFTER - NOW + 5, bought="-3", order_id="9")
    assert seen(held("-1"), fills=log_of(sold, proven="-1")).questions == (ASKED,)


def test_a_fill_whose_place_in_the_position_is_not_proven_waits() -> None:
    found = seen(held("1"), fills=log_of(BOUGHT, proven=None))
    assert (found.offences, found.questions) == ((), ())
    assert look(found.memory, HELD, evidence(held("1"), fills=log_of(BOUGHT)), None).questions


def test_in_hedge_mode_the_leg_says_whether_a_fill_opened() -> None:
    opened = replace(BOUGHT, leg=LONG)
    closed = replace(BOUGHT, leg=SHORT)
    assert seen(fills=log_of(opened)).questions == (ASKED,)
    assert seen(fills=log_of(closed)).questions == ()


def test_under_halt_the_order_behind_any_fill_is_asked_for() -> None:
    closed = replace(BOUGHT, leg=SHORT)
    halted = Held(NOW, halted=NOW)
    assert seen(fills=log_of(closed), since=halted).questions == (ASKED,)
    assert seen(fills=log_of(closed), since=halted, answers={ASKED: filled(reduce_only=True)}).offences


def test_fills_of_a_resting_order_and_of_before_ask_nothing() -> None:
    resting = placed_by_bot(created=BEFORE)
    assert not seen(held("1"), resting, fills=log_of(BOUGHT)).questions
    first = seen(resting)
    assert not look(first.memory, HELD, evidence(held("1"), fills=log_of(BOUGHT)), None).questions, "it is remembered"
    assert not seen(held("1"), fills=log_of(replace(BOUGHT, time=LIMIT))).questions
