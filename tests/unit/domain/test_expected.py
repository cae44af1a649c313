"""Which beliefs count: not one from the future, the past, a booting bot, or a bot that may have lost its memory."""

from dataclasses import replace
from decimal import Decimal

import pytest

from accountsync.domain.account import OrderStatus, PositionSide
from accountsync.domain.expected import (
    FUTURE_ALLOWANCE_MS,
    BeliefMemory,
    Doubt,
    ExpectedBalance,
    ExpectedOrder,
    ExpectedPosition,
    ExpectedState,
    accept,
)

NOW = 1_790_000_000_000
STALE_AFTER = 60_000
BTC = "BTC/USDT:USDT"
HELD = (ExpectedPosition(BTC, PositionSide.NET, Decimal(1)),)


def holding(as_of: int = NOW, boot_id: str = "boot", *, ready: bool = True) -> ExpectedState:
    return ExpectedState(as_of, boot_id, ready, positions=HELD, orders=())


def empty(as_of: int = NOW, boot_id: str = "boot") -> ExpectedState:
    return ExpectedState(as_of, boot_id, positions=(), orders=())


def judge(
    state: ExpectedState, memory: BeliefMemory | None = None, *, now: int = NOW, account_empty: bool = False
) -> BeliefMemory:
    return accept(state, memory or BeliefMemory(), now=now, stale_after=STALE_AFTER, account_empty=account_empty)


def doubt(
    state: ExpectedState, memory: BeliefMemory | None = None, *, now: int = NOW, account_empty: bool = False
) -> Doubt:
    with pytest.raises(Doubt) as caught:
        judge(state, memory, now=now, account_empty=account_empty)
    return caught.value


REMEMBERED = BeliefMemory(NOW - 1000, "boot")


def test_a_belief_that_counts_is_remembered() -> None:
    assert judge(holding(), REMEMBERED) == BeliefMemory(NOW, "boot")


def test_the_same_belief_counts_again() -> None:
    assert judge(holding(), judge(holding())) == BeliefMemory(NOW, "boot")


def test_a_belief_may_be_as_far_in_the_future_as_clocks_differ() -> None:
    assert judge(holding(NOW + FUTURE_ALLOWANCE_MS)).as_of == NOW + FUTURE_ALLOWANCE_MS
    raised = doubt(holding(NOW + FUTURE_ALLOWANCE_MS + 1), REMEMBERED)
    assert (raised.why, raised.memory) == ("in_future", REMEMBERED)
    assert "NTP" in raised.message


def test_a_belief_may_be_as_old_as_the_policy_says() -> None:
    assert judge(holding(NOW - STALE_AFTER)).as_of == NOW - STALE_AFTER
    memory = BeliefMemory(NOW - STALE_AFTER - 1, "boot")
    raised = doubt(holding(NOW - STALE_AFTER - 1), memory)
    assert (raised.why, raised.memory) == ("stale", memory)
    assert "spec.bot.staleAfter" in raised.message


def test_a_belief_older_than_one_already_read_does_not_count() -> None:
    raised = doubt(holding(NOW - 1001), REMEMBERED)
    assert (raised.why, raised.memory) == ("regressed", REMEMBERED)


def test_a_bot_without_boot_ids_may_not_go_back_either() -> None:
    assert doubt(holding(NOW - 1, ""), BeliefMemory(NOW)).why == "regressed"


@pytest.mark.parametrize(("before", "after"), [("boot", "new"), ("", "new"), ("boot", "")])
def test_a_bot_that_booted_anew_may_begin_earlier(before: str, after: str) -> None:
    assert judge(holding(NOW - 1, after), BeliefMemory(NOW, before)) == BeliefMemory(NOW - 1, after)


def test_a_bot_that_is_not_ready_says_nothing_and_moves_nothing() -> None:
    raised = doubt(holding(boot_id="new", ready=False), REMEMBERED)
    assert (raised.why, raised.memory) == ("not_ready", REMEMBERED)


def test_a_stale_belief_is_stale_before_it_is_anything_else() -> None:
    old = replace(holding(NOW - STALE_AFTER - 1, ready=False), positions=())
    assert doubt(old, REMEMBERED).why == "stale"


# --- a belief that is empty -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [BeliefMemory(), REMEMBERED])
def test_a_belief_suddenly_empty_is_doubted_while_the_account_is_not(memory: BeliefMemory) -> None:
    raised = doubt(empty(), memory)
    assert (raised.why, raised.memory) == ("emptied", BeliefMemory(NOW, "boot", emptied_at=NOW))


def test_a_belief_that_stays_empty_counts_in_the_end() -> None:
    memory = BeliefMemory(NOW, "boot", emptied_at=NOW)
    later = NOW + STALE_AFTER
    assert doubt(empty(later - 1), memory, now=later).why == "emptied"
    assert judge(empty(later), memory, now=later) == BeliefMemory(later, "boot", emptied_at=NOW)


def test_a_belief_published_once_does_not_come_to_be_meant_by_waiting() -> None:
    memory = doubt(empty()).memory
    assert doubt(empty(), memory, now=NOW + STALE_AFTER).why == "emptied"


def test_a_belief_empty_while_the_account_is_empty_counts_at_once_and_is_remembered() -> None:
    memory = judge(empty(), REMEMBERED, account_empty=True)
    assert memory == BeliefMemory(NOW, "boot", emptied_at=NOW)
    assert judge(empty(NOW + STALE_AFTER), memory, now=NOW + STALE_AFTER).emptied_at == NOW


def test_a_new_boot_waits_anew() -> None:
    memory = BeliefMemory(NOW, "boot", emptied_at=NOW)
    later = NOW + STALE_AFTER
    raised = doubt(empty(later, "new"), memory, now=later)
    assert raised.memory == BeliefMemory(later, "new", emptied_at=later)


def test_a_belief_that_is_no_longer_empty_forgets_that_it_was() -> None:
    assert judge(holding(), BeliefMemory(NOW - 5, "boot", emptied_at=NOW - 5)) == BeliefMemory(NOW, "boot")


@pytest.mark.parametrize(
    ("state", "is_empty"),
    [
        (ExpectedState(NOW), True),
        (ExpectedState(NOW, positions=(ExpectedPosition(BTC, PositionSide.NET, Decimal("-0.0")),)), True),
        (ExpectedState(NOW, orders=(ExpectedOrder(BTC, "1", status=OrderStatus.FILLED),)), True),
        (ExpectedState(NOW, balances=(ExpectedBalance("USDT", Decimal(5)),)), True),
        (ExpectedState(NOW, orders=(ExpectedOrder(BTC, "1"),)), False),
        (ExpectedState(NOW, positions=HELD), False),
    ],
)
def test_a_belief_is_empty_without_a_position_or_an_active_order(state: ExpectedState, is_empty: bool) -> None:
    assert state.empty is is_empty
