"""Ghosts: what the ledger holds open where the exchange holds nothing, and when that is sure."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.support.rows import BTC, ETH, NOW, account
from tests.support.slices import slice_

from accountsync.domain.account import Part, Position, PositionSide
from accountsync.domain.expected import ExpectedPosition, ExpectedState
from accountsync.domain.ledger import NoGo, Slice
from accountsync.domain.parity import Look, Memory, Open, collect, look, reckoned, tally_up
from accountsync.domain.policy import Parity
from accountsync.domain.sharing import ALONE, Sharing, Sibling

GRACE = 5_000
STEP = 15_000
NET, LONG, SHORT = PositionSide.NET, PositionSide.LONG, PositionSide.SHORT
GHOST = (BTC, NET)


class Heartbeat:
    """Looks that follow one another, each with a newer belief and a newer snapshot."""

    def __init__(self, *slices: Slice, **terms: Any) -> None:
        self.slices, self.terms = slices, Parity(**terms)
        self.memory: Memory = {}
        self.now = NOW

    def look(
        self, *rows: Position, sharing: Sharing = ALONE, wait: int = STEP, as_of: int | None = None, **fields: Any
    ) -> Look:
        self.now += wait
        traded = fields.pop("traded", {})
        seen = look(
            tally_up(self.slices),
            account(*rows, timestamp=self.now, **fields),
            self.now if as_of is None else as_of,
            sharing,
            self.terms,
            self.memory,
            grace_ms=GRACE,
            traded=traded,
        )
        self.memory = seen.memory
        return seen

    def count(self) -> int:
        return self.memory[GHOST].count if GHOST in self.memory else 0


def held(quantity: str, symbol: str = BTC, side: PositionSide = NET, **fields: Any) -> Position:
    return Position(symbol, side, Decimal(quantity), **fields)


def sharing_with(*beliefs: tuple[str, str] | None) -> Sharing:
    """Siblings that believe in (symbol, net quantity); None: that one is Unknown."""
    return Sharing(
        tuple(
            Sibling(
                f"bot-{number}",
                f"b{number}_",
                belief
                and ExpectedState(NOW + 10 * STEP, positions=(ExpectedPosition(belief[0], NET, Decimal(belief[1])),)),
            )
            for number, belief in enumerate(beliefs)
        )
    )


# --- what a ghost is -------------------------------------------------------------------------------------------------


def test_a_slice_without_a_position_is_a_ghost_after_its_confirmations() -> None:
    bot = Heartbeat(slice_("a", "1"), slice_("b", "2"))
    assert [bool(bot.look().confirmed) for _ in range(4)] == [False, False, True, True]
    ghost = bot.memory[GHOST].ghost
    assert (ghost.quantity, ghost.open.slices, ghost.open.gross, ghost.open.largest) == (
        Decimal(3),
        2,
        Decimal(3),
        Decimal(2),
    )


@pytest.mark.parametrize("quantity", ["3", "-3", "0.5", "7"])
def test_what_the_exchange_holds_anything_of_is_no_ghost(quantity: str) -> None:
    bot = Heartbeat(slice_("a", "3"))
    for _ in range(4):
        assert not bot.look(held(quantity)).memory


def test_less_than_a_step_is_nothing() -> None:
    steps = {BTC: Decimal("0.001")}
    assert Heartbeat(slice_("a", "3")).look(held("0.0009"), steps=steps).memory
    assert not Heartbeat(slice_("a", "3")).look(held("0.001"), steps=steps).memory
    assert not Heartbeat(slice_("a", "0.0009")).look(steps=steps).memory


def test_slices_that_offset_each_other_on_a_net_position_are_no_ghost() -> None:
    assert not Heartbeat(slice_("a", "2"), slice_("b", "-2")).look().memory
    assert Heartbeat(slice_("a", "2"), slice_("b", "-1")).look().memory[GHOST].ghost.quantity == 1


def test_each_leg_of_hedge_mode_is_a_position_of_its_own() -> None:
    bot = Heartbeat(slice_("a", "2"), slice_("b", "-2"))
    assert set(bot.look(held("2", side=LONG), held("0", side=SHORT)).memory) == {(BTC, SHORT)}
    assert set(bot.look(held("0", side=LONG), held("2", side=SHORT)).memory) == {(BTC, LONG)}
    assert set(bot.look(held("0", side=LONG), held("0", side=SHORT)).memory) == {(BTC, LONG), (BTC, SHORT)}
    # a symbol that is not listed is read by the account's other rows
    assert set(bot.look(held("1", ETH, LONG)).memory) == {(BTC, LONG), (BTC, SHORT)}


def test_slices_of_other_symbols_are_judged_by_theirs() -> None:
    bot = Heartbeat(slice_("a", "2"), slice_("b", "1", ETH))
    assert set(bot.look(held("2")).memory) == {(ETH, NET)}


# --- shared accounts -------------------------------------------------------------------------------------------------


def test_bots_that_offset_each_other_have_no_ghosts() -> None:
    bot = Heartbeat(slice_("a", "1"))
    for _ in range(4):
        assert not bot.look(sharing=sharing_with((BTC, "-1"))).memory
    assert bot.look(sharing=sharing_with((BTC, "-3"))).memory[GHOST].ghost.quantity == -2


def test_one_unknown_bot_makes_all_unknown() -> None:
    bot = Heartbeat(slice_("a", "1"))
    bot.look()
    bot.look()
    blind = bot.look(sharing=sharing_with((ETH, "0"), None))
    assert blind.blind
    assert not blind.confirmed
    assert bot.count() == 2
    assert bot.look().confirmed


def test_a_sibling_does_not_offset_a_leg() -> None:
    bot = Heartbeat(slice_("a", "1"))
    assert set(bot.look(held("0", side=LONG), sharing=sharing_with((BTC, "-1"))).memory) == {(BTC, LONG)}


def test_the_oldest_belief_of_the_account_has_to_be_newer() -> None:
    bot = Heartbeat(slice_("a", "1"))
    old = Sharing((Sibling("other", "b_", ExpectedState(NOW, positions=())),))
    for _ in range(5):
        bot.look(sharing=old)
    assert bot.count() == 1


# --- confirmations ---------------------------------------------------------------------------------------------------


def test_one_clean_look_begins_anew() -> None:
    bot = Heartbeat(slice_("a", "1"))
    bot.look()
    bot.look()
    bot.look(held("1"))
    assert not bot.look().confirmed
    assert bot.count() == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"unsettled": frozenset({BTC})},
        {"missing": frozenset({Part.POSITIONS})},
        {"traded": {BTC: NOW + 3 * STEP - GRACE + 1}},
    ],
    ids=["changed while it was read", "positions missing", "traded within the grace"],
)
def test_unknown_neither_advances_nor_resets(fields: dict[str, Any]) -> None:
    bot = Heartbeat(slice_("a", "1"))
    bot.look()
    bot.look()
    assert not bot.look(**fields).confirmed
    assert bot.count() == 2
    assert bot.look().confirmed


def test_a_refused_snapshot_judges_nothing() -> None:
    bot = Heartbeat(slice_("a", "1"))
    bot.look()
    seen = look(tally_up(bot.slices), None, bot.now, ALONE, bot.terms, bot.memory, grace_ms=GRACE)
    assert seen.blind
    assert seen.memory == bot.memory


def test_a_position_that_has_just_changed_waits() -> None:
    bot = Heartbeat(slice_("a", "1"), confirmations=1)
    assert (BTC, NET) in bot.look(held("0", updated=NOW + STEP - GRACE + 1)).unknown
    assert bot.look(held("0", updated=NOW + STEP - GRACE + 1)).confirmed == frozenset()
    assert bot.look().confirmed


def test_a_slice_that_is_younger_than_the_snapshot_is_unknown() -> None:
    bot = Heartbeat(slice_("a", "1", opened=NOW + STEP - GRACE + 1))
    assert bot.look().unknown == {GHOST}
    assert bot.look().memory


def test_the_same_belief_or_snapshot_counts_once() -> None:
    bot = Heartbeat(slice_("a", "1"))
    for _ in range(5):
        bot.look(as_of=NOW)
    assert bot.count() == 1
    bot = Heartbeat(slice_("a", "1"))
    for later in range(5):
        bot.look(wait=0, as_of=NOW + later)
    assert bot.count() == 1


def test_it_takes_a_reading_of_the_grace_after_the_first_belief() -> None:
    bot = Heartbeat(slice_("a", "1"), confirmations=2)
    bot.look()
    assert not bot.look(wait=1_000).confirmed
    assert not bot.look(wait=3_999).confirmed
    assert bot.look(wait=1).confirmed


def test_a_ghost_that_the_ledger_closed_is_forgotten() -> None:
    bot = Heartbeat(slice_("a", "1"))
    bot.look()
    bot.slices = ()
    assert not bot.look().memory


# --- the two passes --------------------------------------------------------------------------------------------------


def test_the_second_pass_keeps_the_slices_of_ghosts_only() -> None:
    rows = [slice_("a", "2"), slice_("b", "-1"), slice_("c", "1", ETH), slice_("d", "0")]
    assert collect(iter(rows), {(BTC, NET)}) == {(BTC, NET): (rows[0], rows[1])}
    assert collect(iter(rows), {(BTC, SHORT)}) == {(BTC, SHORT): (rows[1],)}


def test_a_hundred_thousand_slices_are_a_stream_of_which_only_the_ghosts_are_kept() -> None:
    def stream() -> Iterator[Slice]:
        row = slice_()
        return (replace(row, trade_id=str(each), symbol=BTC if each % 1000 else ETH) for each in range(100_000))

    virtual = tally_up(stream())
    assert {key: part.slices for key, part in virtual.items()} == {(BTC, LONG): 99_900, (ETH, LONG): 100}
    assert len(collect(stream(), {(ETH, NET)})[ETH, NET]) == 100


def test_a_stream_may_be_tallied_up_in_batches() -> None:
    rows = [slice_("a", "2", opened=NOW), slice_("b", "3"), slice_("c", "-1"), slice_("d", "0.5", opened=NOW - 7)]
    whole = tally_up(rows)
    parts = [tally_up(rows[:1]), tally_up(rows[1:])]
    assert {key: parts[0].get(key, Open()) + parts[1].get(key, Open()) for key in whole} == whole
    assert whole[BTC, LONG] == Open(Decimal("5.5"), 3, Decimal("5.5"), Decimal(3), NOW)


# --- the tally -------------------------------------------------------------------------------------------------------


def test_a_tally_counts_what_has_no_price_and_values_what_has_one() -> None:
    bot = Heartbeat(slice_("a", "1"), slice_("b", "2"), slice_("c", "5", ETH))
    seen = bot.look(marks={BTC: Decimal(100)})
    tally = reckoned(seen, {"c": NoGo.NO_FILLS}, 1)
    assert (tally.ghosts, tally.quarantined, tally.auto_closed) == (3, 1, 1)
    assert (tally.max_notional, tally.total_notional) == (Decimal(200), Decimal(300))
    assert tally.no_go == {"c": NoGo.NO_FILLS}


def test_a_tally_keeps_fifty_reasons_and_counts_all() -> None:
    tally = reckoned(Look(), {f"t{number:03}": NoGo.NO_FILLS for number in range(80)}, 0)
    assert tally.quarantined == 80
    assert list(tally.no_go) == [f"t{number:03}" for number in range(50)]


def test_what_a_ledger_holds_nothing_of_by_itself_is_no_ghost_of_it() -> None:
    both = Heartbeat(slice_("t1"), slice_("t2", "-1"))
    for _ in range(4):
        seen = both.look(sharing=sharing_with((BTC, "0.5")))
    assert not seen.memory
    assert not seen.confirmed
