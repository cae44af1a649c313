"""Conditions: what each says, and when."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from accountsync.api.v1alpha1 import Condition, Sync, TradingAccountStatus
from accountsync.controller.conditions import SPEC_REASONS, Failing, Outlook, conditions, gist
from accountsync.domain.standing import CONDITION, Stage, Standing
from accountsync.errors import CREDENTIAL_REASONS, Reason
from accountsync.observe import Failure

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
GOOD = Outlook(observed=True, sync=Sync.IN_SYNC)
AWAY = Failure(Reason.EXCHANGE_UNREACHABLE, "the exchange cannot be reached")
SILENT = Failure(Reason.BOT_UNREACHABLE, "the bot cannot be reached")
REJECTED = Failure(Reason.CREDENTIALS_REJECTED, "the exchange rejects the key", permanent=True)
INVALID = Failure(Reason.SPEC_INVALID, "spec.interval: expected a duration", permanent=True)


def now(outlook: Outlook, standing: Sequence[Condition] = (), at: datetime = NOW) -> dict[str, Condition]:
    return {row.type: row for row in conditions(outlook, standing, generation=7, now=at)}


def after(*outlooks: Outlook) -> dict[str, Condition]:
    """What is said once these followed one another."""
    standing: dict[str, Condition] = {}
    for outlook in outlooks:
        standing = now(outlook, tuple(standing.values()))
    return standing


def said(condition: Condition) -> tuple[str, str]:
    return condition.status, condition.reason


def exchange(failure: Failure, streak: int = 1) -> Outlook:
    return replace(GOOD, exchange=Failing(failure, streak))


def bot(failure: Failure, streak: int = 1) -> Outlook:
    return replace(GOOD, bot=Failing(failure, streak))


def test_an_account_that_works_says_so_and_nothing_else() -> None:
    assert {kind: said(row) for kind, row in now(GOOD).items()} == {
        "Ready": ("True", "Synced"),
        "InSync": ("True", "InSync"),
        "Paused": ("False", "NoHold"),
        "CredentialsValid": ("True", "Accepted"),
        "BotReachable": ("True", "StateRead"),
    }


def test_before_the_first_cycle_nothing_is_known() -> None:
    assert {kind: said(row) for kind, row in now(Outlook()).items()} == {
        "Ready": ("Unknown", "NotJudged"),
        "InSync": ("Unknown", "NotJudged"),
        "Paused": ("False", "NoHold"),
        "CredentialsValid": ("Unknown", "NotJudged"),
        "BotReachable": ("Unknown", "NotJudged"),
        "Reconciling": ("True", "FirstCycle"),
    }


# --- Ready ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [exchange(AWAY), bot(SILENT)])
def test_ready_stays_true_on_a_first_transient_failure(first: Outlook) -> None:
    assert said(after(GOOD, first)["Ready"]) == ("True", "Synced")


@pytest.mark.parametrize(("second", "failure"), [(exchange(AWAY, 2), AWAY), (bot(SILENT, 2), SILENT)])
def test_ready_is_false_on_the_second_in_a_row(second: Outlook, failure: Failure) -> None:
    ready = after(GOOD, second)["Ready"]
    assert (*said(ready), ready.message) == ("False", failure.reason, failure.message)


def test_ready_is_false_on_a_first_permanent_failure() -> None:
    assert said(after(GOOD, exchange(REJECTED))["Ready"]) == ("False", "CredentialsRejected")


def test_ready_stays_false_when_another_kind_of_failure_follows() -> None:
    assert said(after(GOOD, exchange(AWAY, 2), bot(SILENT))["Ready"]) == ("False", "ExchangeUnreachable")


def test_a_first_failure_of_one_side_hides_no_lasting_one_of_the_other() -> None:
    outlook = replace(GOOD, exchange=Failing(AWAY, 1), bot=Failing(SILENT, 2))
    assert said(now(outlook)["Ready"]) == ("False", "BotUnreachable")


def test_ready_is_true_again_after_one_good_cycle() -> None:
    assert said(after(GOOD, exchange(AWAY, 5), GOOD)["Ready"]) == ("True", "Synced")


def test_drift_is_no_matter_of_ready() -> None:
    rows = now(replace(GOOD, sync=Sync.OUT_OF_SYNC, drift="MissingOrder: order 1 is gone"))
    assert said(rows["Ready"]) == ("True", "Synced")
    assert said(rows["InSync"]) == ("False", "DriftConfirmed")
    assert rows["InSync"].message == "MissingOrder: order 1 is gone"


# --- Stalled and Reconciling ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("side", ["invalid", "exchange", "bot"])
def test_stalled_exists_for_reasons_of_the_spec_only(reason: Reason, side: str) -> None:
    failure = Failure(reason, "why", permanent=True)
    outlook = {
        "invalid": replace(GOOD, invalid=failure),
        "exchange": exchange(failure),
        "bot": bot(failure),
    }[side]
    rows = now(outlook)
    assert ("Stalled" in rows) is (reason in SPEC_REASONS)
    if "Stalled" in rows:
        assert said(rows["Stalled"]) == ("True", reason)


def test_no_secret_stalls_an_account() -> None:
    assert SPEC_REASONS.isdisjoint(CREDENTIAL_REASONS)


def test_stalled_goes_when_the_spec_is_mended() -> None:
    assert "Stalled" not in after(replace(GOOD, invalid=INVALID), GOOD)


@pytest.mark.parametrize(
    "outlook",
    [
        GOOD,
        exchange(AWAY, 9),
        Outlook(disabled=True),
        Outlook(suspended=True),
        Outlook(invalid=INVALID),
    ],
)
def test_reconciling_exists_before_the_first_cycle_only(outlook: Outlook) -> None:
    assert "Reconciling" in now(Outlook())
    assert "Reconciling" not in after(Outlook(), outlook)


# --- CredentialsValid and BotReachable -----------------------------------------------------------------------------


@pytest.mark.parametrize("reason", sorted(CREDENTIAL_REASONS))
def test_credentials_are_invalid_for_each_reason_of_theirs(reason: Reason) -> None:
    assert said(now(exchange(Failure(reason, "why", permanent=True)))["CredentialsValid"]) == ("False", reason)


def test_an_exchange_that_is_away_says_nothing_of_the_key() -> None:
    assert said(after(GOOD, exchange(AWAY, 9))["CredentialsValid"]) == ("True", "Accepted")
    assert said(after(exchange(REJECTED), exchange(AWAY, 9))["CredentialsValid"]) == ("False", "CredentialsRejected")
    assert said(after(exchange(AWAY, 9))["CredentialsValid"]) == ("Unknown", "NotJudged")


def test_a_bot_is_reachable_until_the_second_failure_in_a_row() -> None:
    assert said(after(GOOD, bot(SILENT))["BotReachable"]) == ("True", "StateRead")
    assert said(after(GOOD, bot(SILENT), bot(SILENT, 2))["BotReachable"]) == ("False", "BotUnreachable")


def test_a_bot_at_an_address_that_is_not_allowed_is_unreachable_at_once() -> None:
    failure = Failure(Reason.BOT_ADDRESS_NOT_ALLOWED, "why", permanent=True)
    rows = now(bot(failure))
    assert said(rows["BotReachable"]) == said(rows["Ready"]) == ("False", "BotAddressNotAllowed")


@pytest.mark.parametrize("kind", ["CredentialsValid", "BotReachable"])
def test_an_invalid_spec_says_nothing_of_what_is_not_read(kind: str) -> None:
    unread = replace(GOOD, invalid=INVALID)
    broken = replace(GOOD, exchange=Failing(REJECTED, 2), bot=Failing(SILENT, 2))
    assert after(broken, unread)[kind].status == "False"


# --- suspended and disabled ----------------------------------------------------------------------------------------


def test_a_suspended_account_is_ready_and_judges_nothing() -> None:
    rows = after(GOOD, Outlook(observed=True, suspended=True))
    assert said(rows["Ready"]) == ("True", "Suspended")
    assert said(rows["InSync"]) == ("Unknown", "Suspended")


def test_a_disabled_operator_makes_no_account_ready() -> None:
    rows = after(GOOD, Outlook(observed=True, disabled=True))
    assert said(rows["Ready"]) == ("False", "SyncDisabled")
    assert "GRINDER_ACCOUNT_SYNC_ENABLED" in rows["Ready"].message
    assert said(rows["InSync"]) == ("Unknown", "SyncDisabled")


@pytest.mark.parametrize("off", [Outlook(observed=True, suspended=True), Outlook(observed=True, disabled=True)])
@pytest.mark.parametrize("kind", ["CredentialsValid", "BotReachable"])
def test_what_is_not_read_stays_as_it_was_said(off: Outlook, kind: str) -> None:
    broken = replace(GOOD, exchange=Failing(REJECTED, 2), bot=Failing(SILENT, 2))
    assert said(after(GOOD, off)[kind]) == said(now(GOOD)[kind])
    assert said(after(broken, off)[kind]) == said(now(broken)[kind])


def test_an_invalid_spec_comes_before_all_else() -> None:
    rows = now(Outlook(invalid=INVALID, disabled=True, suspended=True))
    assert said(rows["Ready"]) == ("False", "SpecInvalid")
    assert said(rows["Stalled"]) == ("True", "SpecInvalid")
    assert said(rows["InSync"]) == ("Unknown", "SpecInvalid")


# --- Paused and InSync ---------------------------------------------------------------------------------------------


def test_paused_names_every_hold() -> None:
    paused = now(replace(GOOD, holds={"Policy": "drift", "User": "maintenance"}))["Paused"]
    assert (*said(paused), paused.message) == ("True", "Held", "Policy: drift; User: maintenance")


def test_in_observe_paused_says_what_the_watchdog_would_do() -> None:
    paused = now(replace(GOOD, withheld="mismatch notional 600 USDT"))["Paused"]
    assert (*said(paused), paused.message) == (
        "False",
        "NoHold",
        "the bot may trade; in mode Pause the Watchdog would stop it: mismatch notional 600 USDT",
    )
    assert said(now(replace(GOOD, withheld="x", holds={"User": "lunch"}))["Paused"]) == ("True", "Held")


@pytest.mark.parametrize("outlook", [Outlook(suspended=True), Outlook(disabled=True), Outlook(invalid=INVALID)])
def test_a_hold_is_told_of_whatever_else_is_wrong(outlook: Outlook) -> None:
    assert said(now(replace(outlook, holds={"User": "x"}))["Paused"]) == ("True", "Held")


def test_an_account_that_is_not_known_says_which_side_is_missing() -> None:
    assert said(now(replace(exchange(AWAY), sync=Sync.UNKNOWN))["InSync"]) == ("Unknown", "ExchangeUnreachable")
    assert said(now(replace(bot(SILENT), sync=Sync.UNKNOWN))["InSync"]) == ("Unknown", "BotUnreachable")


# --- what is there only while it is so ------------------------------------------------------------------------------


@pytest.mark.parametrize("outlook", [GOOD, Outlook(), Outlook(suspended=True), replace(GOOD, invalid=INVALID)])
def test_an_exchange_that_was_never_run_is_told_of_whatever_else_is_so(outlook: Outlook) -> None:
    row = now(replace(outlook, untested="bybit"))["ExchangeUntested"]
    assert said(row) == ("True", "NeverRun")
    assert row.message.startswith("bybit is read through ccxt's unified calls, which were never run against it")
    assert "ExchangeUntested" not in now(outlook)


def test_a_right_that_is_missing_is_told_as_long_as_it_is() -> None:
    lacking = replace(GOOD, missing='the operator may not watch secrets in namespace "a": bind it there')
    row = now(lacking)["PermissionMissing"]
    assert (*said(row), row.message) == ("True", "Forbidden", lacking.missing)
    assert said(now(lacking)["Ready"]) == ("True", "Synced"), "it works without, only later"
    assert "PermissionMissing" not in after(lacking, GOOD)


def test_a_watch_that_is_missing_is_told_as_what_it_costs() -> None:
    row = now(replace(GOOD, missing="the operator may not watch secrets", only_late=True))["PermissionMissing"]
    assert said(row) == ("True", "WatchForbidden")
    assert row.message.startswith("the operator may not watch secrets; ")
    assert "changes are noticed within a minute" in row.message
    other = now(replace(GOOD, missing="the operator may not watch configmaps", only_late=True))["PermissionMissing"]
    assert gist(row) != gist(other)


def test_another_right_that_is_missing_is_another_message_to_write() -> None:
    one, two = (now(replace(GOOD, missing=text))["PermissionMissing"] for text in ("watch", "watch, create"))
    assert gist(one) != gist(two)


# --- how they are written ------------------------------------------------------------------------------------------


def test_the_transition_time_moves_with_the_status_only() -> None:
    before = tuple(now(exchange(AWAY, 2)).values())
    other_reason = now(bot(SILENT, 2), before, LATER)["Ready"]
    assert said(other_reason) == ("False", "BotUnreachable")
    assert other_reason.last_transition_time == NOW
    assert now(GOOD, before, LATER)["Ready"].last_transition_time == LATER


def test_a_condition_that_comes_again_begins_anew() -> None:
    stalled = replace(GOOD, invalid=INVALID)
    without = tuple(now(GOOD, tuple(now(stalled).values())).values())
    assert now(stalled, without, LATER)["Stalled"].last_transition_time == LATER


def test_every_condition_tells_its_generation() -> None:
    old = now(GOOD)
    rows = conditions(exchange(AWAY), tuple(old.values()), generation=8, now=LATER)
    assert {row.observed_generation for row in rows} == {8}


def test_a_condition_of_no_known_type_is_dropped() -> None:
    strange = Condition(type="Strange", status="True", reason="X", message="", last_transition_time=NOW)
    assert "Strange" not in now(GOOD, [strange])


@pytest.mark.parametrize("outlook", [GOOD, Outlook(), replace(GOOD, invalid=INVALID), exchange(AWAY, 2)])
def test_each_type_is_said_once(outlook: Outlook) -> None:
    rows = conditions(outlook, tuple(now(GOOD).values()), generation=1, now=NOW)
    assert len({row.type for row in rows}) == len(rows)


# --- LedgerReconciled ----------------------------------------------------------------------------------------------


def test_how_the_last_run_over_a_ledger_ended_stands_where_there_is_a_ledger() -> None:
    held = replace(GOOD, ledger=("False", "LockHeld", "another session holds the lock"))
    assert said(now(held)["LedgerReconciled"]) == ("False", "LockHeld")
    assert "LedgerReconciled" not in after(held, GOOD)


def test_other_slices_that_wait_for_a_person_are_worth_a_write() -> None:
    one, two = (replace(GOOD, ledger=("True", "Quarantined", f"trade {name}")) for name in ("t1", "t2"))
    assert gist(now(one)["LedgerReconciled"]) != gist(now(two)["LedgerReconciled"])


def reset(stage: Stage, asked: str = "r1", text: str = "there: 1 open order") -> Outlook:
    return replace(GOOD, reset=Standing(asked, stage, text))


def test_a_reset_is_told_of_while_one_is_asked_for_and_is_true_once_all_is_clean() -> None:
    assert CONDITION not in now(GOOD)
    assert said(now(reset(Stage.LEFT))[CONDITION]) == ("False", "Left")
    assert said(now(reset(Stage.CLEAN))[CONDITION]) == ("True", "Clean")
    assert now(reset(Stage.LEFT))[CONDITION].message == "r1: there: 1 open order"
    for dark in ({"suspended": True}, {"observed": False}, {"invalid": INVALID}):
        assert CONDITION not in now(replace(reset(Stage.CLEAN), **dark))


def test_another_reset_is_worth_a_write_and_another_number_in_its_text_is_not() -> None:
    first = now(reset(Stage.LEFT))[CONDITION]
    assert gist(first) == gist(now(reset(Stage.LEFT, text="there: 2 open orders"))[CONDITION])
    assert gist(first) != gist(now(reset(Stage.LEFT, asked="r2"))[CONDITION])


def test_a_status_has_room_for_all_that_can_stand_at_once() -> None:
    crowded = replace(
        reset(Stage.LEFT),
        exchange=Failing(Failure(Reason.UNKNOWN_EXCHANGE, "no such exchange", permanent=True), 9),
        skew_ms=5_000,
        missing="the operator may not get secrets",
        untested="kraken",
        unprotected="no policy",
        blocked="over a limit",
        ledger=("True", "Reconciled", "nothing was to be done"),
        disobeyed=("OrderPlaced", "the bot placed an order"),
    )
    TradingAccountStatus(conditions=tuple(now(crowded).values()))
    assert CONDITION in now(crowded)
    assert "Reconciling" not in now(crowded)
