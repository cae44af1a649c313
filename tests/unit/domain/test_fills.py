"""What was traded: each fill is dealt with once, and none is forgotten."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.rows import BTC, ETH, NOW, account, belief, believed, fill, only, order, rules

from accountsync.domain.account import AccountSnapshot, Fill, OrderStatus, Position, PositionSide, Side
from accountsync.domain.catalogue import Rule
from accountsync.domain.detect import Background, detect
from accountsync.domain.expected import ExpectedOrder, ExpectedPosition, ExpectedState
from accountsync.domain.fills import (
    DENIED_FOR_MS,
    KEPT,
    OVERLAP_MS,
    PENDING_KEPT,
    SAME_CHANGE_MS,
    FillLog,
    accepted,
    changed_symbols,
    untimed_symbols,
)
from accountsync.domain.finding import POSITIONS, Answers, Detection, Finding, Question
from accountsync.domain.policy import Ignore, Policy

NET, LONG, SHORT = PositionSide.NET, PositionSide.LONG, PositionSide.SHORT
GRACE = 5_000
OURS = Policy(order_id_prefix="bot_")
QUIET = account()


def log(*rows: Fill, start: int = NOW - 60_000, behind: AccountSnapshot = QUIET) -> FillLog:
    """A log that read `rows` behind `behind`."""
    made = FillLog(start=start).noticing({row.symbol for row in rows}, behind)
    for symbol in sorted(made.unread):
        made = made.reading(symbol, [row for row in rows if row.symbol == symbol], behind, GRACE)
    return made


def held(quantity: str, symbol: str = BTC, *, side: PositionSide = NET, **fields: Any) -> Position:
    return Position(symbol, side, Decimal(quantity), **fields)


def judged(
    made: FillLog, expected: ExpectedState | None = None, said: Answers | None = None, policy: Policy = OURS
) -> Detection:
    return detect(QUIET, expected or ExpectedState(NOW, orders=()), policy, said, Background(fills=made))


def ids(rows: Iterable[Fill]) -> list[str]:
    return [row.id for row in rows]


# --- reading ---------------------------------------------------------------------------------------------------------


def test_what_is_read_is_pending_and_recent() -> None:
    made = log(fill("1"), fill("2", at=1))
    assert set(made.pending) == {(BTC, "1"), (BTC, "2")}
    assert ids(made.recent[BTC]) == ["1", "2"]
    assert made.unread == frozenset()


def test_fills_of_before_the_log_began_are_of_no_account() -> None:
    made = log(fill("1", at=-60_000), fill("2", at=-59_999))
    assert set(made.pending) == {(BTC, "2")}


def test_the_overlap_that_is_read_again_doubles_nothing() -> None:
    made = log(fill("1"), fill("2", at=1))
    again = made.without({(BTC, "1")}).reading(BTC, [fill("1"), fill("2", at=1), fill("3", at=2)], QUIET, GRACE)
    assert ids(again.recent[BTC]) == ["1", "2", "3"]
    assert set(again.pending) == {(BTC, "2"), (BTC, "3")}, "what was dealt with stays dealt with"


def test_a_page_that_repeats_a_fill_doubles_nothing() -> None:
    made = log(fill("1"), fill("1"), fill("2", at=1))
    assert ids(made.recent[BTC]) == ["1", "2"]


def test_the_same_fill_id_on_two_symbols_is_two_fills() -> None:
    assert set(log(fill("1", BTC), fill("1", ETH)).pending) == {(BTC, "1"), (ETH, "1")}


def test_the_next_reading_overlaps_the_last() -> None:
    assert log(fill("1")).since(BTC) == NOW - OVERLAP_MS
    assert log(fill("1")).since(ETH) == NOW - 60_000 + 1
    assert log(fill("1", at=-59_000)).since(BTC) == NOW - 60_000 + 1, "nothing before the beginning is read"


def test_a_late_fill_takes_its_place() -> None:
    made = log(fill("1"), fill("3", at=5)).reading(BTC, [fill("2", at=3)], QUIET, GRACE)
    assert ids(made.recent[BTC]) == ["1", "2", "3"]


def test_fills_of_one_moment_stand_in_the_order_of_their_ids() -> None:
    assert ids(log(fill("10"), fill("9")).recent[BTC]) == ["9", "10"]


@pytest.mark.parametrize(("late", "unread"), [(SAME_CHANGE_MS, False), (SAME_CHANGE_MS + 1, True)])
def test_a_list_that_is_behind_the_position_is_read_again(late: int, unread: bool) -> None:
    behind = account(held("1", updated=NOW + late), timestamp=NOW + late)
    assert (BTC in log(fill("1"), behind=behind).unread) is unread


def test_a_list_that_stays_behind_is_waited_for_no_longer_than_the_grace() -> None:
    """A position's time may change without a fill."""
    for after, unread in ((GRACE - 1, True), (GRACE, False)):
        behind = account(held("1", updated=NOW + 9_000), timestamp=NOW + 9_000 + after)
        assert (BTC in log(fill("1"), behind=behind).unread) is unread


def test_the_oldest_are_dropped_and_it_is_known_until_when() -> None:
    rows = [fill(f"{number:04}", at=number) for number in range(KEPT + 2)]
    made = log(*rows)
    assert ids(made.recent[BTC]) == ids(rows[2:])
    assert made.cut == {BTC: NOW + 1}
    assert len(made.pending) == KEPT + 2, "no pending one is forgotten"
    assert log(*rows[:KEPT]).cut == {}


def test_what_was_dropped_does_not_come_back() -> None:
    rows = [fill(f"{number:04}", at=number) for number in range(KEPT + 2)]
    made = log(*rows)
    again = made.without(set(made.pending)).reading(BTC, rows, QUIET, GRACE)
    assert set(again.pending) <= {(BTC, "0001")}, "of the last moment that was dropped, fills may still come"
    assert again.cut == made.cut


# --- the watermark ---------------------------------------------------------------------------------------------------


def test_the_watermark_is_at_the_last_snapshot_where_all_is_dealt_with() -> None:
    assert FillLog(start=NOW).watermark == NOW
    made = log(fill("1"), behind=account(timestamp=NOW + 100))
    assert made.without({(BTC, "1")}).watermark == NOW + 100


def test_the_watermark_stays_before_a_pending_fill() -> None:
    made = log(fill("1"), fill("2", at=50), behind=account(timestamp=NOW + 100))
    assert made.watermark == NOW - 1
    assert made.without({(BTC, "1")}).watermark == NOW + 49


def test_the_watermark_stays_at_what_was_read_of_a_symbol_that_waits() -> None:
    made = log(fill("1"), behind=account(timestamp=NOW + 100)).without({(BTC, "1")})
    assert made.noticing([BTC], account(timestamp=NOW + 900)).watermark == NOW


def test_a_symbol_that_waits_takes_the_watermark_past_no_pending_fill_of_another() -> None:
    made = log(fill("1", BTC, at=10), fill("2", ETH, at=90), behind=account(timestamp=NOW + 100))
    made = made.without({(ETH, "2")}).noticing([ETH], account(timestamp=NOW + 900))
    assert made.watermark == NOW + 9


TIMES = st.integers(0, 30)
STEPS = st.one_of(
    st.tuples(st.just("notice"), st.sampled_from([BTC, ETH]), TIMES),
    st.tuples(st.just("read"), st.sampled_from([BTC, ETH]), TIMES),
    st.tuples(st.just("settle"), st.sampled_from([BTC, ETH]), TIMES),
)


@given(st.lists(st.tuples(st.sampled_from([BTC, ETH]), TIMES), max_size=6), st.lists(STEPS, max_size=12))
def test_the_watermark_never_passes_a_pending_fill(
    trades: list[tuple[str, int]], steps: list[tuple[str, str, int]]
) -> None:
    rows = [fill(str(number), symbol, at=at) for number, (symbol, at) in enumerate(trades)]
    made, now = FillLog(start=NOW - 1), NOW
    for what, symbol, by in steps:
        now += by
        snapshot = account(timestamp=now)
        if what == "notice":
            made = made.noticing([symbol], snapshot)
        elif what == "read":
            since = made.since(symbol)
            told = [row for row in rows if row.symbol == symbol and since <= row.time <= now]
            made = made.reading(symbol, told, snapshot, GRACE)
        else:
            made = made.without({key for key in made.pending if key[0] == symbol})
        assert all(made.watermark < row.time for row in made.pending.values())
        assert made.watermark >= made.start
        for fills in made.recent.values():
            assert len({row.id for row in fills}) == len(fills)


# --- which symbols to read -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "now",
    [account(), account(held("2", updated=1)), account(held("1", updated=2)), account(replace(held("1"), side=LONG))],
)
def test_a_position_that_changed_is_read(now: AccountSnapshot) -> None:
    before = account(held("1", updated=1), held("5", ETH))
    assert BTC in changed_symbols(before, now, FillLog(NOW))


def test_a_position_that_stood_still_is_not_read() -> None:
    before = account(held("1", updated=1), held("0", ETH, updated=1))
    assert changed_symbols(before, account(held("1.0", updated=1)), FillLog(NOW)) == set()


def test_without_an_earlier_snapshot_what_changed_since_the_log_began_is_read() -> None:
    now = account(held("1", BTC, updated=NOW + 1), held("1", ETH, updated=NOW))
    assert changed_symbols(None, now, FillLog(NOW)) == {BTC}


def test_a_leg_that_the_bots_believe_to_hold_and_that_is_not_listed_has_no_time() -> None:
    now = account(held("1", side=SHORT), held("1", ETH))
    gone = ExpectedPosition(BTC, LONG, Decimal(1))
    assert untimed_symbols(now, [gone, ExpectedPosition(ETH, NET, Decimal(2))]) == {BTC}
    assert untimed_symbols(now, [replace(gone, quantity=Decimal(0))]) == set()


def test_a_leg_is_listed_where_one_side_speaks_of_the_net_position() -> None:
    hedged, one_way = account(held("1", side=LONG)), account(held("1"))
    assert untimed_symbols(hedged, [ExpectedPosition(BTC, NET, Decimal(5))]) == set()
    assert untimed_symbols(one_way, [ExpectedPosition(BTC, LONG, Decimal(5))]) == set()
    assert untimed_symbols(account(), [ExpectedPosition(BTC, NET, Decimal(5))]) == {BTC}


def test_more_pending_fills_than_can_be_attributed_give_up_the_oldest() -> None:
    rows = [fill(str(number), at=number) for number in range(PENDING_KEPT + 2)]
    made = FillLog(NOW - 1).reading(BTC, rows, QUIET, GRACE)
    assert len(made.pending) == PENDING_KEPT
    assert {(BTC, "0"), (BTC, "1")}.isdisjoint(made.pending)


def test_a_symbol_that_was_quiet_is_read_from_the_last_snapshot_on() -> None:
    day = 86_400_000
    quiet = log(fill("1")).reading(BTC, [], account(timestamp=NOW + GRACE), GRACE)
    quiet = quiet.noticing([], account(timestamp=NOW + 91 * day))
    made = quiet.noticing([BTC], account(timestamp=NOW + 91 * day + 5_000))
    assert made.since(BTC) == NOW + 91 * day - OVERLAP_MS


def test_a_symbol_whose_fills_are_unread_resolves_no_fill() -> None:
    standing = Finding(Rule.UNATTRIBUTED_FILL, BTC, "fill:9")
    assert not judged(log().noticing([BTC], QUIET)).judged(standing)
    assert judged(log()).judged(standing)


def test_an_accepted_fill_is_dealt_with_as_one_that_was_told() -> None:
    made, found = told("1", "1")
    ignore = Ignore(Rule.UNATTRIBUTED_FILL, until=NOW + 1)
    assert accepted(made, (), found.ignoring([ignore], NOW)) == {(BTC, "7")}
    assert accepted(made, (), found) == set()


def test_a_symbol_that_is_only_read_again_is_neither_unread_nor_late() -> None:
    made = FillLog(NOW - 60_000).reading(BTC, [fill("1")], QUIET, GRACE)
    assert (made.unread, made.late, ids(made.recent[BTC])) == (frozenset(), {}, ["1"])


# --- where a position stood ------------------------------------------------------------------------------------------


SOME_TIME_AGO = NOW - GRACE
SEEN = {(BTC, NET): ((SOME_TIME_AGO, SOME_TIME_AGO, Decimal(0)),)}
"""Flat, the grace before NOW."""


def test_a_position_is_proven_when_its_fills_lead_to_it_from_where_it_was_the_grace_ago() -> None:
    row = held("3", updated=NOW - 20)
    made = replace(log(fill("1", at=-30, bought="1")), observed=SEEN)
    assert made.observing(account(row), GRACE).proven == {}, "a fill is lacking"
    made = made.reading(BTC, [fill("2", at=-20, bought="2")], account(row), GRACE)
    assert made.observing(account(row), GRACE).proven == {(BTC, NET): (NOW - 20, Decimal(3))}
    later = made.observing(account(row), GRACE).observing(account(held("4", updated=NOW + 1), timestamp=NOW + 1), GRACE)
    assert later.proven == {}, "the fill to it is lacking"
    assert later.path(held("4", updated=NOW + 1), NOW) is None


def test_a_position_that_was_not_seen_the_grace_ago_is_not_proven() -> None:
    row = held("3", updated=NOW)
    made = FillLog(NOW - 60_000).observing(account(row), GRACE)
    assert made.observing(account(row, timestamp=NOW + GRACE - 1), GRACE).proven == {}
    assert made.observing(account(row, timestamp=NOW + GRACE), GRACE).proven == {(BTC, NET): (NOW, Decimal(3))}


def test_only_the_last_sight_of_before_the_grace_is_kept() -> None:
    made = FillLog(NOW)
    for second in range(60):
        made = made.observing(account(held("1", updated=NOW), timestamp=NOW + second * 1_000), GRACE)
    assert [seen_at - NOW for seen_at, _, _ in made.observed[BTC, NET]] == [54_000 + n * 1_000 for n in range(6)]


def test_a_leg_that_left_the_list_is_flat() -> None:
    held_before = {(BTC, NET): ((SOME_TIME_AGO, SOME_TIME_AGO, Decimal(3)),)}
    sold = replace(log(fill("1", at=-7, bought="-3")), observed=held_before)
    assert sold.observing(QUIET, GRACE).proven == {(BTC, NET): (NOW, Decimal(0))}


def path(made: FillLog, quantity: str, updated: int | None = 20, since: int = 0, side: PositionSide = NET) -> Any:
    row = held(quantity, updated=None if updated is None else NOW + updated, side=side)
    return replace(made, proven={(BTC, side): (NOW + (updated or 0), Decimal(quantity))}).path(row, NOW + since)


def test_a_path_holds_every_quantity_since_then() -> None:
    made = log(fill("1", at=10, bought="2"), fill("2", at=20, bought="-0.5"))
    assert path(made, "2.5") == {Decimal(1), Decimal(3), Decimal("2.5")}
    assert path(made, "2.5", since=10) == {Decimal(1), Decimal(3), Decimal("2.5")}
    assert path(made, "2.5", since=11) == {Decimal(3), Decimal("2.5")}


def test_a_leg_has_a_path_of_its_own() -> None:
    made = log(fill("1", at=10, leg=SHORT, bought="-2"), fill("2", at=20, leg=LONG, bought="1"))
    assert path(made, "5", side=LONG) == {Decimal(4), Decimal(5)}
    assert path(made, "2", side=SHORT) == {Decimal(0), Decimal(2)}, "a short leg grows when it is sold"


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ("it says no time", {"updated": None}),
        ("the list of fills is behind", {"updated": 20 + SAME_CHANGE_MS + 1}),
        ("the list of positions is behind", {"updated": 19}),
        ("nothing was traded since", {"since": 21}),
        ("it asks for before the log began", {"since": -60_000}),
    ],
)
def test_a_path_that_is_not_known_whole_is_not_told(why: str, told: dict[str, Any]) -> None:
    made = log(fill("1", at=20))
    assert path(made, "1") is not None
    assert path(made, "1", **told) is None, why


def test_a_symbol_whose_fills_are_unread_has_no_path() -> None:
    assert path(log(fill("1", at=20)).noticing([BTC], QUIET), "1") is None


def test_a_path_does_not_reach_into_what_was_dropped() -> None:
    rows = [fill(f"{number:04}", at=number, bought="0.001") for number in range(KEPT + 2)]
    made = log(*rows)
    assert path(made, "1", updated=KEPT + 1, since=1) is None, "a fill of that very moment was dropped"
    assert path(made, "1", updated=KEPT + 1, since=2) is not None


# --- judging ---------------------------------------------------------------------------------------------------------

FOREIGN = {Question(BTC, "1", conditional=False): order("1", client_id="web_1")}


def test_the_order_behind_a_fill_is_asked_for_first() -> None:
    found = judged(log(fill("7")))
    assert (found.findings, found.questions) == ((), (Question(BTC, "1", conditional=False),))
    assert (BTC, "fill:7") in found.unknown


def test_an_order_that_was_listed_need_not_be_asked_for() -> None:
    found = judged(log(fill("7")).recognising([order("1", client_id="bot_1")]))
    assert found.questions == ()
    assert found.explained == {(BTC, "7")}


def test_a_conditional_order_of_that_id_is_not_the_one_behind_a_fill() -> None:
    made = log(fill("7")).recognising([order("1", client_id="bot_1", conditional=True)])
    assert judged(made).questions == (Question(BTC, "1", conditional=False),)


def test_an_order_is_remembered_as_long_as_a_fill_of_it_is_pending() -> None:
    made = log(fill("7")).recognising([order("1"), order("2")])
    assert set(made.recognising([]).orders) == {(BTC, "1")}
    assert made.without({(BTC, "7")}).recognising([]).orders == {}


def test_a_fill_of_an_order_with_our_prefix_is_explained() -> None:
    said = {Question(BTC, "1", conditional=False): order("1", client_id="bot_1")}
    found = judged(log(fill("7")), said=said)
    assert found.findings == ()
    assert found.explained == {(BTC, "7")}


@pytest.mark.parametrize("tracked", [ExpectedOrder(BTC, id="1"), ExpectedOrder(BTC, client_id="web_1")])
def test_a_fill_of_an_order_that_the_bot_names_is_explained(tracked: ExpectedOrder) -> None:
    found = judged(log(fill("7")), ExpectedState(NOW, orders=(tracked,)), FOREIGN)
    assert found.findings == ()
    assert found.explained == {(BTC, "7")}


@pytest.mark.parametrize(("tracked", "foreign"), [("9", False), ("8", True)])
def test_a_fill_of_the_order_that_a_tracked_conditional_one_placed_is_explained(tracked: str, foreign: bool) -> None:
    parent = order("9", client_id="algo", conditional=True, successor="1")
    said = {**FOREIGN, Question(BTC, "9", conditional=True): parent}
    found = judged(log(fill("7")), ExpectedState(NOW, orders=(ExpectedOrder(BTC, id=tracked),)), said)
    assert bool(found.findings) is foreign


def test_a_fill_that_nothing_explains_is_found_with_what_is_known_of_it() -> None:
    found = judged(log(fill("7", at=3, bought="-2")), said=FOREIGN)
    finding = only(found)
    assert (finding.rule, finding.id, finding.expected) == (Rule.UNATTRIBUTED_FILL, "fill:7", "none")
    assert finding.observed == "sell 2 at 100 (order 1, client id web_1)"
    assert (finding.notional, finding.changed, finding.fills) == (Decimal(200), NOW + 3, ("7",))
    assert found.explained == frozenset()


def test_a_liquidation_is_foreign_whatever_its_client_id() -> None:
    said = {Question(BTC, "1", conditional=False): order("1", client_id="bot_1", forced="liquidation")}
    assert only(judged(log(fill("7")), said=said)).observed.endswith("(liquidation)")
    assert only(judged(log(fill("7")), said=said, policy=Policy())).observed.endswith("(liquidation)")


def test_without_a_prefix_only_what_the_exchange_did_itself_is_foreign() -> None:
    assert judged(log(fill("7")), said=FOREIGN, policy=Policy()).explained == {(BTC, "7")}


def test_without_a_belief_a_foreign_fill_waits() -> None:
    found = detect(QUIET, None, OURS, FOREIGN, Background(fills=log(fill("7"))))
    assert (found.findings, found.explained) == ((), frozenset())
    assert (BTC, "fill:7") in found.unknown


def test_an_order_that_the_exchange_denies_leaves_its_fill_unknown() -> None:
    found = judged(log(fill("7")), said={Question(BTC, "1", conditional=False): None})
    assert (found.findings, found.explained, found.questions) == ((), frozenset(), ())
    assert (BTC, "fill:7") in found.unknown


def test_a_fill_of_long_ago_whose_order_the_exchange_denies_is_nobodys_to_tell() -> None:
    said: Answers = {Question(BTC, "1", conditional=False): None}
    old = FillLog(NOW - 2 * DENIED_FOR_MS, pending={(BTC, "7"): fill("7", at=-DENIED_FOR_MS - 1)})
    assert judged(old, said=said).explained == {(BTC, "7")}
    young = FillLog(NOW - 2 * DENIED_FOR_MS, pending={(BTC, "7"): fill("7", at=-DENIED_FOR_MS)})
    assert judged(young, said=said).explained == frozenset()


def test_a_symbol_that_waits_for_the_first_time_keeps_the_watermark_at_the_snapshot_before() -> None:
    made = FillLog(start=NOW).noticing([], account(timestamp=NOW + 500))
    assert made.noticing([ETH], account(timestamp=NOW + 900)).watermark == NOW + 500


def test_what_is_unfinished_is_unread_late_or_pending() -> None:
    made = FillLog(NOW, unread=frozenset({"A"}), late={"B": 1}, pending={("C", "1"): fill("1")})
    assert made.unfinished == {"A", "B", "C"}


# --- when a fill is dealt with ---------------------------------------------------------------------------------------


def told(holds: str, believes: str | None) -> tuple[FillLog, Detection]:
    """A foreign fill, a position and a belief."""
    made = log(fill("7"))
    expected = belief() if believes is None else belief(ExpectedPosition(BTC, NET, Decimal(believes)))
    if believes is None:
        expected = replace(expected, positions=None)
    found = detect(account(held(holds)), expected, OURS, FOREIGN, Background(fills=made))
    assert Rule.UNATTRIBUTED_FILL in rules(found)
    return made, found


KEY = f"{Rule.UNATTRIBUTED_FILL}|{BTC}|fill:7"


def test_a_fill_is_dealt_with_once_it_was_told_and_the_bot_has_the_position() -> None:
    made, found = told("1", "1")
    assert accepted(made, {KEY}, found) == {(BTC, "7")}
    assert accepted(made, set(), found) == set(), "not told yet"


def test_a_fill_stays_as_long_as_the_position_differs() -> None:
    made, found = told("1", "0")
    assert accepted(made, {KEY}, found) == set()


def test_a_fill_stays_as_long_as_nobody_knows_of_the_position() -> None:
    made, found = told("1", "1")
    assert accepted(made, {KEY}, replace(found, unknown=found.unknown | {(BTC, POSITIONS)})) == set()
    assert accepted(made, {KEY}, replace(found, unknown=found.unknown | {(ETH, POSITIONS)})) == {(BTC, "7")}


def test_where_no_positions_are_judged_it_is_enough_that_it_was_told() -> None:
    made, found = told("1", None)
    assert accepted(made, {KEY}, found) == {(BTC, "7")}


def test_a_fill_that_people_accept_stays_pending() -> None:
    made, found = told("1", "1")
    assert accepted(made, {KEY}, replace(found, findings=())) == set()


def test_what_a_fill_adds_depends_on_the_leg() -> None:
    amounts = {
        (side, leg): fill(side=side, leg=leg, quantity=Decimal(1)).change for side in Side for leg in PositionSide
    }
    assert amounts == {
        (Side.BUY, NET): 1,
        (Side.BUY, LONG): 1,
        (Side.BUY, SHORT): -1,
        (Side.SELL, NET): -1,
        (Side.SELL, LONG): -1,
        (Side.SELL, SHORT): 1,
    }


def test_the_fills_behind_a_missing_order_are_its_evidence() -> None:
    made = log(fill("7", bought="2"), fill("8", at=1, order_id="2"))
    tracked = believed(order("1", client_id="bot_1"))
    said = {Question(BTC, "1"): replace(order("1"), status=OrderStatus.FILLED, filled=Decimal(2))}
    found = judged(made, ExpectedState(NOW, orders=(tracked,)), said)
    assert [finding.fills for finding in found.findings if finding.rule is Rule.MISSING_ORDER] == [("7",)]
