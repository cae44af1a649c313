"""The status: what is written of an account, what is worth a write, and what is read back after a restart."""

import copy
import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from accountsync.api.caps import ACKNOWLEDGED_CAP, FINDINGS_CAP, HISTORY_CAP, HOLD_KEYS_CAP, STATUS_BYTES
from accountsync.api.v1alpha1 import Condition, TradingAccountStatus
from accountsync.api.v1alpha1 import Transition as Written
from accountsync.controller import status as written
from accountsync.cycle import State
from accountsync.domain.account import AccountSnapshot, Order, Position, PositionSide, Side
from accountsync.domain.catalogue import Rule, Severity
from accountsync.domain.confirm import Track
from accountsync.domain.expected import BeliefMemory
from accountsync.domain.fills import FillLog
from accountsync.domain.finding import Finding
from accountsync.domain.holds import KEYS_KEPT, Hold, Signal, Source, Transition, fingerprint
from accountsync.domain.watchdog import Vigil

NOW_MS = 1_790_000_000_000
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)
BTC = "BTC/USDT:USDT"


def track(
    id_: str,
    *,
    rule: Rule = Rule.MISSING_ORDER,
    notional: str = "100.5",
    confirmed: bool = True,
    observed: str = "canceled",
) -> Track:
    finding = Finding(
        rule=rule,
        symbol=BTC,
        id=id_,
        expected="open",
        observed=observed,
        notional=Decimal(notional),
    )
    return Track(finding, NOW_MS - 60_000, NOW_MS, 5.0, NOW_MS, count=7, confirmed=confirmed)


def keyed(tracks: Iterable[Track]) -> dict[str, Track]:
    return {each.finding.key: each for each in tracks}


def policy_hold(*keys: str) -> Hold:
    return Hold(Source.POLICY, Signal.DRIFT, "drift", NOW_MS, "0123456789").gather(keys)


STATE = State(
    tracks=keyed([track("1"), track("2", notional="7"), track("3", confirmed=False)]),
    belief=BeliefMemory(as_of=NOW_MS, boot_id="boot-1", emptied_at=None),
    holds={
        Source.POLICY: policy_hold("aaaa", "bbbb"),
        Source.USER: Hold(Source.USER, Signal.USER_PAUSED, "maintenance", NOW_MS - 1000),
    },
    acknowledged={"cccc": Decimal("12.5")},
    snapshot=AccountSnapshot(
        NOW_MS,
        positions=(
            Position(BTC, PositionSide.NET, Decimal(1)),
            Position("ETH/USDT:USDT", PositionSide.NET, Decimal(0)),
        ),
        orders=(Order("9", "", BTC, Side.BUY, Decimal(2), Decimal(1), Decimal(50)),),
    ),
    timestamp=NOW_MS,
    good_at=4.0,
    judged_at=4.0,
)


def status_of(state: State, **changes: Any) -> TradingAccountStatus:
    parts: dict[str, Any] = {
        "observed_generation": 3,
        "paused": bool(state.holds),
        "paused_by": ",".join(sorted(state.holds)),
        "holds": tuple(written.holds(state)),
        "acknowledged": tuple(written.acknowledged(state)),
        "watchdog": written.watchdog(state),
        "sync": "OutOfSync",
        "last_report_time": NOW,
        "snapshot": written.snapshot(state),
        "watermarks": written.watermarks(state),
        "findings": written.findings(state),
        "history": (Written(time=NOW, who="operator", what="raised Policy", why="drift"),),
        "conditions": (
            Condition(type="Ready", status="True", reason="Synced", message="fine", last_transition_time=NOW),
        ),
    }
    return TradingAccountStatus(**(parts | changes))


def restored(state: State) -> State:
    """What another process remembers, over JSON as the API server keeps it."""
    stored = json.loads(json.dumps(status_of(state).dump()))
    return written.restore(TradingAccountStatus.model_validate(stored), 1000.0, NOW_MS)


# --- what is read back ---------------------------------------------------------------------------------------------


def test_a_restart_keeps_every_hold_and_its_digest() -> None:
    assert restored(STATE).holds == STATE.holds
    assert restored(STATE).holds[Source.POLICY].digest == STATE.holds[Source.POLICY].digest


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize("signal", Signal)
def test_a_hold_of_any_source_and_reason_is_read_back(source: Source, signal: Signal) -> None:
    hold = Hold(source, signal, "why", NOW_MS)
    assert restored(replace(STATE, holds={source: hold})).holds == {source: hold}


def test_a_digest_goes_on_after_a_restart_with_folded_keys() -> None:
    before = policy_hold(*[f"k{number:03}" for number in range(KEYS_KEPT + 30)])
    again = restored(replace(STATE, holds={Source.POLICY: before})).holds[Source.POLICY]
    assert again.digest == before.digest
    assert again.digests == before.digests
    assert again.gather(["new"]).digest == before.gather(["new"]).digest


def test_the_status_has_room_for_all_keys_that_a_hold_keeps() -> None:
    assert KEYS_KEPT <= HOLD_KEYS_CAP


def test_a_hold_for_a_reason_of_another_version_still_stands() -> None:
    status = status_of(STATE).dump()
    status["holds"][0]["reason"] = "FromTheFuture"
    holds = written.restore(TradingAccountStatus.model_validate(status), 0.0, NOW_MS).holds
    assert set(holds) == set(STATE.holds)


def test_a_hold_of_a_source_of_another_version_does_not_stop_the_account() -> None:
    status = status_of(STATE).dump()
    status["holds"].append({"source": "Future", "reason": "X", "message": "x", "since": "2026-11-21T12:00:00Z"})
    assert set(STATE.holds) <= set(written.restore(TradingAccountStatus.model_validate(status), 0.0, NOW_MS).holds)


def test_a_restart_keeps_what_was_acknowledged() -> None:
    assert restored(STATE).acknowledged == STATE.acknowledged


def test_a_restart_keeps_confirmed_findings_and_when_they_were_first_seen() -> None:
    after = restored(STATE).tracks
    confirmed = {key: each for key, each in STATE.tracks.items() if each.confirmed}
    assert set(after) == set(confirmed)
    for key, each in after.items():
        assert each.finding == confirmed[key].finding
        assert each.first_seen == confirmed[key].first_seen
        assert each.confirmed


def test_counts_start_again_after_a_restart() -> None:
    for each in restored(STATE).tracks.values():
        assert (each.count, each.since, each.counted_as_of, each.witness) == (0, 1000.0, -1, None)


def test_a_finding_of_an_unknown_kind_is_left_out_and_the_others_are_kept() -> None:
    status = status_of(STATE).dump()
    status["findings"]["items"][0]["rule"] = "FromTheFuture"
    tracks = written.restore(TradingAccountStatus.model_validate(status), 0.0, NOW_MS).tracks
    assert [each.finding.id for each in tracks.values()] == ["2"]


def test_a_restart_reads_on_where_fills_were_left() -> None:
    left = FillLog(start=5, seen_to=90, read_to={"A": 40}, unread=frozenset({"A"}), late={"B": 99})
    again = restored(replace(STATE, fills=left)).fills
    assert again == FillLog(start=40, unread=frozenset({"A", "B"}))
    assert restored(replace(STATE, fills=FillLog(start=5, seen_to=90))).fills == FillLog(start=90)


def test_a_restart_keeps_the_watermark_and_the_boot_of_the_bot() -> None:
    after = restored(STATE)
    assert after.timestamp == NOW_MS
    assert after.belief == BeliefMemory(boot_id="boot-1")


def test_a_snapshot_is_not_remembered_so_that_its_age_is_not_either() -> None:
    after = restored(STATE)
    assert (after.snapshot, after.good_at, after.judged_at) == (None, None, None)


def test_an_account_that_was_never_reported_on_is_created() -> None:
    assert written.restore(TradingAccountStatus(), 0.0, NOW_MS) == State(created=True)


def test_an_account_that_was_reported_on_once_is_not_created_again() -> None:
    assert not restored(STATE).created
    assert not written.restore(TradingAccountStatus(observed_generation=1), 0.0, NOW_MS).created


def test_writing_what_was_read_back_changes_nothing_worth_a_write() -> None:
    again = restored(STATE)
    assert written.holds(again) == written.holds(STATE)
    assert written.acknowledged(again) == written.acknowledged(STATE)
    assert written.watermarks(again) == written.watermarks(STATE)
    assert written.significant(status_of(again).dump()) == written.significant(status_of(STATE).dump())


# --- what is written -----------------------------------------------------------------------------------------------


def test_only_confirmed_findings_are_written_the_worst_first() -> None:
    tracks = [
        track("1", notional="5"),
        track("2", notional="50"),
        track("3", rule=Rule.DUPLICATE_KEY, notional="1"),
        track("4", confirmed=False),
    ]
    findings = written.findings(State(tracks=keyed(tracks)))
    assert [item.id for item in findings.items] == ["3", "2", "1"]
    assert (findings.total, findings.confirmed) == (3, 3)
    assert findings.by_rule == {"DuplicateKey": 1, "MissingOrder": 2}


def test_counts_stay_exact_where_the_list_is_cut() -> None:
    findings = written.findings(State(tracks=keyed(track(f"{n:04}") for n in range(1000))))
    assert findings.total == findings.confirmed == findings.by_rule["MissingOrder"] == 1000
    assert len(findings.items) == FINDINGS_CAP


def test_a_snapshot_is_written_in_numbers() -> None:
    summary = written.snapshot(STATE)
    assert summary is not None
    assert (summary.positions, summary.open_orders, summary.pending_notional) == (1, 1, Decimal(50))
    assert written.snapshot(State()) is None
    assert written.watermarks(State()) is None


def test_a_restart_keeps_the_spans_of_the_watchdog() -> None:
    held = Hold(Source.WATCHDOG, Signal.MISMATCH_LARGE, "too much", NOW_MS - 601_000, "0123456789").gather(["aaaa"])
    vigil = Vigil(raised_at=7.0, clean=1, resumed_at=3.0, resumed_ms=NOW_MS - 1_201_000)
    again = restored(replace(STATE, holds={Source.WATCHDOG: held}, vigil=vigil))
    assert again.holds[Source.WATCHDOG] == held
    spent = [1000.0 - at for at in (again.vigil.raised_at, again.vigil.resumed_at) if at is not None]
    assert spent == [pytest.approx(600, abs=1), pytest.approx(1200, abs=1)]
    assert spent[0] <= 601
    assert again.vigil.clean == 0


def test_a_watchdog_that_never_let_go_by_itself_has_nothing_to_remember() -> None:
    assert "watchdog" not in status_of(STATE).dump()
    assert restored(STATE).vigil == Vigil()


def test_what_has_no_price_still_has_none_after_a_restart() -> None:
    unpriced = replace(track("1"), finding=replace(track("1").finding, notional=Decimal(0), priced=False))
    tracks = restored(replace(STATE, tracks=keyed([unpriced, track("2")]))).tracks
    assert {each.finding.id: each.finding.priced for each in tracks.values()} == {"1": False, "2": True}


def test_what_has_only_an_old_price_is_shown_with_it() -> None:
    old = replace(track("1"), finding=replace(track("1").finding, notional=Decimal(700), priced=False))
    (item,) = written.findings(replace(STATE, tracks=keyed([old]))).items
    assert item.notional == Decimal(700)


def test_the_largest_acknowledgements_are_written_where_there_are_too_many() -> None:
    many = {fingerprint(str(number)): Decimal(number) for number in range(ACKNOWLEDGED_CAP + 10)}
    kept = written.acknowledged(State(acknowledged=many))
    assert [entry.notional for entry in kept] == [Decimal(n) for n in range(ACKNOWLEDGED_CAP + 9, 9, -1)]


@pytest.mark.parametrize(
    ("source", "why", "who"),
    [
        (Source.USER, Signal.USER_PAUSED, "spec.paused"),
        (Source.USER, Signal.USER_RESUMED, "spec.paused"),
        (Source.POLICY, Signal.RESUMED, "person"),
        (Source.POLICY, Signal.DRIFT, "operator"),
        (Source.STARTUP, Signal.CLEAN, "operator"),
        (Source.WATCHDOG, Signal.RECOVERED, "operator"),
        (Source.WATCHDOG, Signal.WATCHDOG_RESUMED, "person"),
        (Source.ACTION, Signal.ACTION_VERIFIED, "operator"),
        (Source.UNKNOWN_OUTCOME, Signal.OUTCOME_KNOWN, "operator"),
        (Source.UNKNOWN_OUTCOME, Signal.OUTCOME_ACCEPTED, "person"),
    ],
)
def test_the_history_tells_who_did_it(source: Source, why: Signal, who: str) -> None:
    (entry,) = written.history((), [Transition(source, raised=True, why=why, message="because")], NOW)
    assert (entry.who, entry.what, entry.why, entry.time) == (who, f"raised {source}", "because", NOW)


def test_the_history_keeps_the_last_ten_the_newest_last() -> None:
    entries: tuple[Written, ...] = ()
    for number in range(25):
        lifted = Transition(Source.STALE, raised=False, why=Signal.CLEAN, message=str(number))
        entries = written.history(entries, [lifted], NOW)
    assert [entry.why for entry in entries] == [str(number) for number in range(15, 25)]
    assert len(entries) == HISTORY_CAP == 10


def test_a_heartbeat_comes_three_times_in_stale_after() -> None:
    assert written.heartbeat_after(300) == 100


# --- what is worth a write -----------------------------------------------------------------------------------------


def weight(state: State = STATE, **changes: Any) -> str:
    return written.significant(status_of(state, **changes).dump())


def test_what_moves_with_each_cycle_is_not_worth_a_write() -> None:
    later = NOW.replace(year=2027)
    moved = {
        key: replace(each, count=each.count + 1, last_seen=each.last_seen + 15_000)
        for key, each in STATE.tracks.items()
    }
    state = replace(STATE, tracks=moved, timestamp=NOW_MS + 15_000, snapshot=AccountSnapshot(NOW_MS + 15_000))
    assert weight(state, last_report_time=later) == weight()


def test_a_finding_that_is_only_open_is_not_worth_a_write() -> None:
    opened = replace(STATE, tracks={**STATE.tracks, **keyed([track("4", confirmed=False)])})
    assert weight(opened) == weight()


def test_the_words_of_a_condition_are_not_worth_a_write() -> None:
    other = Condition(type="Ready", status="True", reason="Synced", message="other", last_transition_time=NOW)
    assert weight(conditions=(other,)) == weight()


def test_findings_that_change_places_are_not_worth_a_write() -> None:
    tracks = [track("1", notional="100"), track("2", notional="101")]
    swapped = [track("1", notional="101"), track("2", notional="100")]
    assert weight(replace(STATE, tracks=keyed(tracks))) == weight(replace(STATE, tracks=keyed(swapped)))


def condition(state: str, reason: str) -> Condition:
    return Condition(type="Ready", status=state, reason=reason, message="fine", last_transition_time=NOW)


@pytest.mark.parametrize(
    ("state", "changes"),
    [
        pytest.param(replace(STATE, holds={}), {}, id="a hold lifted"),
        pytest.param(replace(STATE, holds={Source.POLICY: policy_hold("a", "b", "c")}), {}, id="a hold that grew"),
        pytest.param(
            replace(STATE, holds={**STATE.holds, Source.STALE: Hold(Source.STALE, Signal.SNAPSHOT_STALE, "", 0)}),
            {},
            id="a hold raised",
        ),
        pytest.param(replace(STATE, tracks=keyed([track("1")])), {}, id="a finding resolved"),
        pytest.param(replace(STATE, tracks={**STATE.tracks, **keyed([track("4")])}), {}, id="a finding confirmed"),
        pytest.param(replace(STATE, tracks=keyed([track("1"), track("8", notional="7")])), {}, id="another finding"),
        pytest.param(replace(STATE, acknowledged={}), {}, id="an acknowledgement"),
        pytest.param(replace(STATE, belief=BeliefMemory(boot_id="boot-2")), {}, id="a boot"),
        pytest.param(STATE, {"conditions": (condition("False", "Synced"),)}, id="a condition's status"),
        pytest.param(STATE, {"conditions": (condition("True", "Suspended"),)}, id="a condition's reason"),
        pytest.param(STATE, {"conditions": ()}, id="a condition gone"),
        pytest.param(STATE, {"sync": "Unknown"}, id="sync"),
        pytest.param(STATE, {"pause_level": "Halt"}, id="the pause level"),
        pytest.param(STATE, {"observed_generation": 4}, id="the generation"),
        pytest.param(STATE, {"last_handled_resume": "x"}, id="a resume handled"),
        pytest.param(STATE, {"last_handled_reconcile_at": "x"}, id="a request handled"),
        pytest.param(STATE, {"history": ()}, id="the history"),
    ],
)
def test_what_a_person_acts_on_is_worth_a_write(state: State, changes: dict[str, Any]) -> None:
    assert weight(state, **changes) != weight()


def test_a_finding_beyond_the_list_is_worth_a_write_by_its_count() -> None:
    many = [track(f"{n:04}") for n in range(FINDINGS_CAP + 1)]
    more = [*many, track("zzzz", notional="0")]
    assert weight(replace(STATE, tracks=keyed(many))) != weight(replace(STATE, tracks=keyed(more)))


def test_an_empty_status_can_be_weighed() -> None:
    assert written.significant({}) == written.significant({"lastReportTime": "2026-11-21T12:00:00Z"})


# --- how much of it ------------------------------------------------------------------------------------------------


def fullest() -> dict[str, Any]:
    wide = "é" * 400
    tracks = keyed(track(f"{n:064}", observed=wide) for n in range(500))
    for key, each in tracks.items():
        tracks[key] = replace(each, finding=replace(each.finding, expected=wide, observed=wide, symbol=BTC + "X" * 40))
    keys = [fingerprint(str(number)) for number in range(KEYS_KEPT)]
    state = replace(
        STATE,
        tracks=tracks,
        holds={source: replace(policy_hold(*keys), source=source, message=wide) for source in Source},
        acknowledged={key: Decimal("123456789.12") for key in keys},
    )
    long = Written(time=NOW, who="operator", what="raised Policy", why=wide)
    names = ("Ready", "InSync", "Paused", "CredentialsValid", "BotReachable", "Stalled", "Reconciling")
    rows = tuple(
        Condition(type=name, status="True", reason="X" * 24, message=wide, last_transition_time=NOW) for name in names
    )
    return status_of(state, history=(long,) * HISTORY_CAP, conditions=rows).dump()


def size(document: dict[str, Any]) -> int:
    return len(json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode())


def test_the_fullest_status_fits_and_its_counts_stay_exact() -> None:
    full = fullest()
    assert size(full) > STATUS_BYTES
    cut = written.fitted(full)
    assert size(cut) <= STATUS_BYTES
    assert cut["findings"]["total"] == cut["findings"]["confirmed"] == 500
    assert cut["findings"]["byRule"] == {"MissingOrder": 500}


def test_only_the_list_of_findings_is_cut_and_it_keeps_the_worst() -> None:
    full = fullest()
    before = copy.deepcopy(full)
    cut = written.fitted(full)
    kept = cut["findings"]["items"]
    assert 0 < len(kept) < FINDINGS_CAP
    assert kept == full["findings"]["items"][: len(kept)]
    assert {name: value for name, value in cut.items() if name != "findings"} == {
        name: value for name, value in full.items() if name != "findings"
    }
    assert full == before


def test_a_status_that_fits_is_left_as_it_is() -> None:
    document = status_of(STATE).dump()
    assert written.fitted(document) == document
    assert written.fitted({}) == {}


def test_every_severity_is_read_back() -> None:
    for rule, own, severity in (
        (Rule.UNEXPECTED_ORDER, False, Severity.WARNING),
        (Rule.TIMESTAMP_REGRESSION, True, Severity.WARNING),
        (Rule.ORDER_DIVERGENCE, True, Severity.MEDIUM),
        (Rule.UNEXPECTED_ORDER, True, Severity.HIGH),
        (Rule.DUPLICATE_KEY, True, Severity.CRITICAL),
    ):
        one = track("1", rule=rule)
        one = replace(one, finding=replace(one.finding, own=own))
        after = restored(replace(STATE, tracks=keyed([one]))).tracks
        assert [each.finding.severity for each in after.values()] == [severity]
