"""Which slices fills prove to be closed, and why the others stay open."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.support.rows import BTC, ETH, NOW, fill
from tests.support.slices import OPENED, proof, row, slice_

from accountsync.domain.account import PositionSide
from accountsync.domain.attribution import MOST_TAGGED, evidence
from accountsync.domain.backfill import Judgement, backfill
from accountsync.domain.expected import ExpectedState
from accountsync.domain.ledger import REASONS, Attribution, Booked, Evidence, NoGo, Purpose, Slice
from accountsync.domain.policy import Parity
from accountsync.domain.sharing import Sharing, Sibling

GRACE = 300_000
GUESSING = Parity(strong_only=False, heuristics=True)
BY_TRADE: dict[str, Any] = {"trade_id": "t1"}


def judge(slices: list[Slice], rows: list[Evidence] | None, terms: Parity = Parity(), **more: Any) -> Judgement:  # noqa: B008 - frozen
    return backfill("grid", slices, rows, terms, **more)


def closed(judgement: Judgement) -> dict[str, Attribution]:
    return {each.slice.trade_id: each.attribution for each in judgement.exits}


# --- strong attribution ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("marks", "how"),
    [
        ({"trade_id": "t1"}, Attribution.TRADE_ID),
        ({"client_id": "e-t1-exit"}, Attribution.CLIENT_ORDER_ID),
        ({"client_id": "t1_sl2"}, Attribution.CLIENT_ORDER_ID),
        ({"sub_tag": "tag-t1"}, Attribution.SUB_TAG),
    ],
)
def test_a_fill_that_bears_a_mark_of_the_ledger_closes_its_slice(marks: dict[str, Any], how: Attribution) -> None:
    judgement = judge([slice_()], [proof(**marks)])
    assert closed(judgement) == {"t1": how}
    assert not judgement.no_go


@pytest.mark.parametrize(
    "marks",
    [
        {},
        {"trade_id": "t2"},
        {"trade_id": "t2", "sub_tag": "tag-t1"},
        {"client_id": "e-t1"},
        {"client_id": "e-t1-2-exit"},
        {"client_id": "e-t1exit"},
        {"client_id": "e-t1-2"},
        {"sub_tag": "tag-t2"},
    ],
)
def test_any_other_fill_does_not(marks: dict[str, Any]) -> None:
    judgement = judge([slice_()], [proof(**marks)])
    assert not judgement.exits
    assert set(judgement.no_go) == {"t1"}


def test_the_exit_tells_what_the_fills_say() -> None:
    rows = [proof("f1", "0.4", price=Decimal(100), **BY_TRADE), proof("f2", "0.6", 7, price=Decimal(110), **BY_TRADE)]
    (exit_,) = judge([slice_(entry_price=Decimal(90))], rows).exits
    assert (exit_.price, exit_.at, exit_.realised) == (Decimal(106), NOW + 7, Decimal(16))
    assert [each.id for each in exit_.fills] == ["f1", "f2"]


def test_a_short_slice_is_closed_by_what_was_bought() -> None:
    short = slice_(quantity="-1")
    assert closed(judge([short], [proof(sold="-1", **BY_TRADE)])) == {"t1": Attribution.TRADE_ID}
    assert judge([short], [proof(sold="1", **BY_TRADE)]).no_go == {"t1": NoGo.NO_FILLS}


def test_a_leg_is_closed_by_fills_of_that_leg() -> None:
    assert closed(judge([slice_()], [proof(leg=PositionSide.LONG, **BY_TRADE)]))
    assert judge([slice_()], [proof(leg=PositionSide.SHORT, **BY_TRADE)]).no_go == {"t1": NoGo.NO_FILLS}


def test_marks_of_different_strength_add_up_and_the_weakest_is_named() -> None:
    rows = [proof("f1", "0.5", **BY_TRADE), proof("f2", "0.5", sub_tag="tag-t1")]
    assert closed(judge([slice_()], rows)) == {"t1": Attribution.SUB_TAG}


def test_what_a_tag_adds_to_fills_that_name_the_trade_is_not_needed() -> None:
    (exit_,) = judge([slice_()], [proof("f1", "0.5", sub_tag="tag-t1"), proof("f2", "1", **BY_TRADE)]).exits
    assert (exit_.attribution, [each.id for each in exit_.fills]) == (Attribution.TRADE_ID, ["f2"])


def test_an_entry_is_never_an_exit() -> None:
    """A long slice and a short one of a sub_tag: what opened the one did not close the other."""
    slices = [slice_("t1", sub_tag="x"), slice_("t2", "-1", sub_tag="x")]
    judgement = judge(slices, [proof("f1", "1", client_id="e-t2", sub_tag="x")])
    assert judgement.no_go == {"t1": NoGo.NO_FILLS, "t2": NoGo.NO_FILLS}


# --- reasons ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (None, NoGo.FILLS_UNKNOWN),
        ([], NoGo.NO_FILLS),
        ([proof(sold="-1", **BY_TRADE)], NoGo.NO_FILLS),
        ([proof(symbol=ETH, **BY_TRADE)], NoGo.NO_FILLS),
        ([proof(used=True, **BY_TRADE)], NoGo.NO_FILLS),
        ([proof(at=OPENED - NOW - GRACE - 1, **BY_TRADE)], NoGo.FILLS_TOO_OLD),
        ([proof(sold="3")], NoGo.FILLS_UNATTRIBUTED),
        ([proof(sold="1")], NoGo.HEURISTIC_ONLY),
        ([proof(sold="0.999", **BY_TRADE)], NoGo.FILLS_DO_NOT_ADD_UP),
        ([proof(sold="1.001", **BY_TRADE)], NoGo.FILLS_DO_NOT_ADD_UP),
        ([proof("f1", **BY_TRADE), proof("f2", **BY_TRADE)], NoGo.FILLS_DO_NOT_ADD_UP),
    ],
)
def test_what_is_not_proven_says_why(rows: list[Evidence] | None, reason: NoGo) -> None:
    judgement = judge([slice_()], rows)
    assert not judgement.exits
    assert judgement.no_go == {"t1": reason}


def test_every_reason_has_a_text() -> None:
    assert set(REASONS) == set(NoGo)


def test_a_slice_without_a_tag_stays_open_where_tags_are_required() -> None:
    untagged = [slice_(sub_tag="")]
    assert judge(untagged, [proof(**BY_TRADE)]).no_go == {"t1": NoGo.NO_SUB_TAG}
    assert judge(untagged, None).no_go == {"t1": NoGo.NO_SUB_TAG}
    assert closed(judge(untagged, [proof(**BY_TRADE)], Parity(require_attribution=False)))


def test_a_fill_may_be_older_than_its_slice_by_the_grace() -> None:
    assert closed(judge([slice_()], [proof(at=OPENED - NOW - GRACE, **BY_TRADE)]))


# --- several slices --------------------------------------------------------------------------------------------------


def tagged(*quantities: str) -> list[Slice]:
    return [slice_(f"t{number}", quantity, sub_tag="x") for number, quantity in enumerate(quantities, 1)]


def test_slices_of_one_tag_are_closed_together_by_all_fills_of_it() -> None:
    rows = [proof("f1", "0.6", sub_tag="x"), proof("f2", "2", sub_tag="x"), proof("f3", "0.4", sub_tag="x")]
    judgement = judge(tagged("1", "2"), rows)
    assert {each.slice.trade_id: [one.id for one in each.fills] for each in judgement.exits} == {
        "t1": ["f1", "f3"],
        "t2": ["f2"],
    }


@pytest.mark.parametrize("sold", [("1",), ("2",), ("3",), ("1.5", "1.5"), ("1", "2", "1")])
def test_or_none_of_them_is(sold: tuple[str, ...]) -> None:
    rows = [proof(f"f{number}", quantity, sub_tag="x") for number, quantity in enumerate(sold)]
    assert judge(tagged("1", "2"), rows).no_go == {"t1": NoGo.AMBIGUOUS, "t2": NoGo.AMBIGUOUS}


def test_what_a_stronger_mark_explains_leaves_the_rest_of_a_tag() -> None:
    rows = [proof("f1", "1", **BY_TRADE), proof("f2", "1", sub_tag="x")]
    assert closed(judge(tagged("1", "1"), rows)) == {"t1": Attribution.TRADE_ID, "t2": Attribution.SUB_TAG}


def test_a_tag_of_very_many_slices_singles_none_out() -> None:
    many = tagged(*["1"] * (MOST_TAGGED + 1))
    rows = [proof(f"f{each.trade_id}", "1", sub_tag="x") for each in many]
    assert set(judge(many, rows).no_go.values()) == {NoGo.AMBIGUOUS}
    rows[0] = replace(rows[0], trade_id="t1")
    assert len(judge(many, rows).exits) == MOST_TAGGED + 1


def test_a_search_without_an_end_is_given_up() -> None:
    slices = tagged(*["10"] * 20)
    rows = [proof(f"f{number}", "3", sub_tag="x") for number in range(66)] + [proof("last", "2", sub_tag="x")]
    assert set(judge(slices, rows).no_go.values()) == {NoGo.AMBIGUOUS}


# --- heuristics ------------------------------------------------------------------------------------------------------


def test_heuristics_are_for_those_who_allow_them() -> None:
    for terms in (Parity(), Parity(strong_only=False), Parity(heuristics=True)):
        assert judge([slice_()], [proof()], terms).no_go == {"t1": NoGo.HEURISTIC_ONLY}
    assert closed(judge([slice_()], [proof()], GUESSING)) == {"t1": Attribution.SINGLE_OPEN_TRADE}


def test_they_close_the_single_open_trade_by_all_that_is_unmarked() -> None:
    rows = [proof("f1", "0.5"), proof("f2", "0.5")]
    assert closed(judge([slice_()], rows, GUESSING)) == {"t1": Attribution.SINGLE_OPEN_TRADE}
    assert judge([slice_()], [*rows, proof("f3", "0.1")], GUESSING).no_go == {"t1": NoGo.FILLS_UNATTRIBUTED}


def test_they_close_the_one_slice_of_a_quantity() -> None:
    slices = [slice_("t1", "1"), slice_("t2", "2")]
    assert closed(judge(slices, [proof(sold="2")], GUESSING)) == {"t2": Attribution.QTY_UNIQUE}
    twins = [slice_("t1", "2"), slice_("t2", "2")]
    assert not judge(twins, [proof(sold="2")], GUESSING).exits
    assert not judge(slices, [proof("f1", "2"), proof("f2", "2")], GUESSING).exits


def test_they_take_no_fill_that_bears_another_mark() -> None:
    for marked in (proof(trade_id="gone"), proof(sub_tag="gone")):
        assert not judge([slice_()], [marked], GUESSING).exits


def test_they_guess_nothing_where_other_bots_trade() -> None:
    assert judge([slice_()], [proof()], GUESSING, shared=True).no_go == {"t1": NoGo.FILLS_UNATTRIBUTED}


def test_they_guess_nothing_of_a_slice_that_a_mark_leads_to() -> None:
    rows = [proof("f1", "0.5", **BY_TRADE), proof("f2", "1")]
    assert judge([slice_()], rows, GUESSING).no_go == {"t1": NoGo.FILLS_DO_NOT_ADD_UP}


# --- names -----------------------------------------------------------------------------------------------------------


def test_an_exit_is_named_by_its_profile_trade_and_fills() -> None:
    def name(profile: str = "grid", trade: str = "t1", *fills: str) -> str:
        rows = [proof(id_, str(1 / Decimal(len(fills))), trade_id=trade) for id_ in fills]
        (exit_,) = backfill(profile, [slice_(trade)], rows, Parity()).exits
        return exit_.event_id

    assert name("grid", "t1", "f1", "f2") == name("grid", "t1", "f2", "f1")
    assert name("grid", "t1", "f1").startswith("accountsync-exit-")
    assert (
        len({name("grid", "t1", "f1"), name("grid", "t2", "f1"), name("other", "t1", "f1"), name("grid", "t1", "f2")})
        == 4
    )


# --- evidence --------------------------------------------------------------------------------------------------------


def test_evidence_names_what_the_ledger_wrote_to_the_order() -> None:
    sold = fill("f1", bought="-1", order_id="1")
    (by_id,) = evidence([sold], [row(client_id="")], client_ids={"1": "x"}, used=(), booked=())
    assert (by_id.trade_id, by_id.sub_tag, by_id.client_id, by_id.used) == ("t1", "tag-t1", "x", False)
    (by_client_id,) = evidence([sold], [row(exchange_id="")], client_ids={"1": "c-1"}, used=(), booked=())
    assert by_client_id.trade_id == "t1"
    (triggered,) = evidence([sold], [row(exchange_id="2")], client_ids={"1": "c-1"}, used=(), booked=())
    assert triggered.trade_id == "t1", "the child of a conditional order has an id of its own"
    several = [row("r2", exchange_id="2"), row("r3", exchange_id="3", trade_id="t3")]
    (ambiguous,) = evidence([sold], several, client_ids={"1": "c-1"}, used=(), booked=())
    assert ambiguous.trade_id == ""
    (nothing,) = evidence([sold], [], client_ids={}, used=["f1"], booked=())
    assert nothing == Evidence(sold, used=True)


def test_evidence_leaves_entries_and_siblings_fills_out() -> None:
    sold = fill("f1", bought="-1", order_id="1")
    assert not evidence([sold], [row(purpose=Purpose.ENTRY)], client_ids={}, used=(), booked=())
    sharing = Sharing((Sibling("other", "other_", ExpectedState(NOW)),))
    assert not evidence([sold], [], client_ids={"1": "other_7"}, used=(), booked=(), sharing=sharing, prefix="mine_")
    assert evidence([sold], [], client_ids={"1": "mine_7"}, used=(), booked=(), sharing=sharing, prefix="mine_")


def test_what_the_bot_accounted_for_itself_is_the_earliest_fills_of_the_order() -> None:
    fills = [fill(f"f{number}", at=number, bought="-1", order_id="1") for number in range(4)]
    for ref, quantity, used in (("1", "0", 0), ("1", "2", 2), ("c-1", "1.5", 2), ("2", "1", 0)):
        names = ("", ref) if ref == "c-1" else (ref, "")
        history = [Booked(BTC, *names, Purpose.EXIT, Decimal(quantity))]
        rows = evidence(reversed(fills), [row()], client_ids={"1": "c-1"}, used=(), booked=history)
        assert [each.used for each in rows] == [number < used for number in range(4)], history


def test_fills_of_another_symbol_prove_nothing() -> None:
    assert judge([slice_(symbol=BTC)], [proof(symbol=ETH, sub_tag="tag-t1")]).no_go == {"t1": NoGo.NO_FILLS}
