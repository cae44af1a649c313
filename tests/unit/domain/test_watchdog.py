"""The watchdog: what is too much, and when its hold may end by itself."""

from dataclasses import replace
from decimal import Decimal

import pytest
from tests.support.rows import BTC, ETH

from accountsync.domain.catalogue import Rule
from accountsync.domain.finding import Finding
from accountsync.domain.policy import AutoResume, Watchdog
from accountsync.domain.watchdog import Vigil, alarm, notional_at_risk, quote_of

WATCHDOG = Watchdog(Decimal(1000), "USDT")
"""It barks at more than 500 USDT."""
TERMS = AutoResume(min_pause=900, clean_cycles=2, cooldown=1800)
RAISED = Vigil().raised(10_000)


def finding(
    notional: str = "100", rule: Rule = Rule.POSITION_MISMATCH, symbol: str = BTC, *, priced: bool = True
) -> Finding:
    return Finding(rule, symbol, "1", notional=Decimal(notional), priced=priced)


# --- what is at risk -------------------------------------------------------------------------------------------------


def test_notional_at_risk_is_the_largest_of_each_symbol_summed() -> None:
    assert notional_at_risk([finding("100"), finding("250"), finding("7", symbol=ETH)]) == Decimal(257)
    assert notional_at_risk([]) == 0


def test_one_missed_fill_is_no_four_mismatches() -> None:
    rules = (Rule.POSITION_MISMATCH, Rule.MISSING_ORDER, Rule.ORDER_DIVERGENCE, Rule.UNATTRIBUTED_FILL)
    assert alarm([finding("400", rule) for rule in rules], WATCHDOG) == ""


@pytest.mark.parametrize(("notional", "barks"), [("500", False), ("500.01", True), ("0", False), ("99999", True)])
def test_it_barks_above_the_limit_and_not_at_it(notional: str, barks: bool) -> None:
    assert bool(alarm([finding(notional)], WATCHDOG)) is barks


def test_symbols_add_up() -> None:
    assert alarm([finding("300"), finding("200.5", symbol=ETH)], WATCHDOG) == (
        "mismatch notional 500.5 USDT, more than 0.5 of 1000 USDT"
    )


def test_a_confirmed_mismatch_without_a_price_is_no_mismatch_of_nothing() -> None:
    assert alarm([finding("0", priced=False), finding("7")], WATCHDOG) == (
        f"there is no price for PositionMismatch {BTC}: what it puts at risk is not known"
    )


def test_a_mismatch_in_another_currency_cannot_be_valued() -> None:
    assert alarm([finding("7", symbol="ETH/USDC:USDC"), finding("1", symbol="BTCUSDT")], WATCHDOG) == (
        "PositionMismatch ETH/USDC:USDC and 1 more cannot be valued in USDT, which is spec.watchdog.currency"
    )


def test_what_is_known_to_be_too_much_is_said_first() -> None:
    assert alarm([finding("501"), finding("0", priced=False)], WATCHDOG).startswith("mismatch notional 501 USDT")


def test_an_old_price_is_enough_for_too_much_and_not_for_little() -> None:
    assert alarm([finding("501", priced=False)], WATCHDOG).startswith("mismatch notional 501 USDT")
    assert alarm([finding("7", priced=False)], WATCHDOG) == (
        f"there is only an old price for PositionMismatch {BTC}: what it puts at risk is not known"
    )
    assert alarm([finding("7", priced=False), finding("0", priced=False, symbol=ETH)], WATCHDOG) == (
        f"there is no price for PositionMismatch {ETH}: what it puts at risk is not known"
    )


@pytest.mark.parametrize("rule", [Rule.BALANCE_MISMATCH, Rule.DUPLICATE_KEY, Rule.NEGATIVE_QUANTITY])
def test_balances_and_corrupt_rows_put_no_notional_at_risk(rule: Rule) -> None:
    assert alarm([finding("0", rule, "USDT")], WATCHDOG) == ""


@pytest.mark.parametrize(
    ("symbol", "currency"),
    [(BTC, "USDT"), ("BTC/USDC:USDC", "USDC"), ("BTC/USD:BTC", "USD"), ("BTC/EUR", "EUR"), ("BTCUSDT", ""), ("", "")],
)
def test_a_symbol_says_in_what_it_is_quoted(symbol: str, currency: str) -> None:
    assert quote_of(symbol) == currency


# --- when its hold may end -------------------------------------------------------------------------------------------


def clean(vigil: Vigil, cycles: int) -> Vigil:
    for _ in range(cycles):
        vigil = vigil.after(clean=True)
    return vigil


@pytest.mark.parametrize(("seconds", "cycles", "ends"), [(900, 2, True), (899.9, 2, False), (9000, 1, False)])
def test_it_takes_the_pause_and_the_clean_cycles(seconds: float, cycles: int, ends: bool) -> None:
    assert clean(RAISED, cycles).may_resume(TERMS, 10_000 + seconds) is ends


def test_clean_cycles_are_in_a_row() -> None:
    interrupted = clean(clean(RAISED, 1).after(clean=False), 1)
    assert not interrupted.may_resume(TERMS, 99_999)
    assert clean(interrupted, 1).may_resume(TERMS, 99_999)


@pytest.mark.parametrize(("since", "ends"), [(1799.9, False), (1800, True)])
def test_it_takes_the_cooldown_since_it_last_ended_by_itself(since: float, ends: bool) -> None:
    again = clean(RAISED.resumed(20_000, 1).raised(20_001), 2)
    assert again.may_resume(TERMS, 20_000 + since) is ends


def test_a_person_who_lifts_it_starts_no_cooldown() -> None:
    again = clean(RAISED.lifted().raised(20_000), 2)
    assert again.may_resume(TERMS, 20_900)


def test_it_never_ends_by_itself_where_that_is_switched_off() -> None:
    assert not clean(RAISED, 99).may_resume(replace(TERMS, enabled=False), 1e9)


def test_what_does_not_stand_does_not_end() -> None:
    assert not clean(Vigil(), 99).may_resume(TERMS, 1e9)


# --- over a restart --------------------------------------------------------------------------------------------------


def test_a_restart_goes_on_with_both_spans_and_counts_clean_cycles_anew() -> None:
    vigil = Vigil.restored(1_000_000, 400_000, now_ms=1_600_999, monotonic=50.0)
    assert vigil == Vigil(raised_at=-550.0, clean=0, resumed_at=-1150.0, resumed_ms=400_000)
    assert clean(vigil, 2).may_resume(TERMS, 650.0)
    assert not clean(vigil, 2).may_resume(TERMS, 649.9)


def test_a_clock_that_went_back_says_that_no_time_passed() -> None:
    vigil = Vigil.restored(1_000_000, 900_000, now_ms=500_000, monotonic=50.0)
    assert (vigil.raised_at, vigil.resumed_at) == (50.0, 50.0)


def test_times_that_were_cut_to_the_second_end_nothing_early() -> None:
    assert Vigil.restored(1_000_000, None, now_ms=1_000_500, monotonic=50.0).raised_at == 50.0


def test_a_restart_without_a_hold_remembers_none() -> None:
    assert Vigil.restored(None, None, now_ms=1, monotonic=2.0) == Vigil()
