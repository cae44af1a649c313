"""What people are told: each thing once, in the words that are worth a look."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import pytest
from tests.support.fakes import ManualClock

from accountsync.api.v1alpha1 import Condition, TradingAccountStatus
from accountsync.controller import status as written
from accountsync.controller.events import NOTE_CAP, SERIES_SECONDS, Events
from accountsync.controller.kube import Kube, KubeError
from accountsync.controller.rights import Rights
from accountsync.controller.telling import summary, tell_all
from accountsync.cycle import State
from accountsync.domain.catalogue import Rule
from accountsync.domain.confirm import Outcome
from accountsync.domain.finding import Finding
from accountsync.domain.holds import BY_PERSON, Hold, Holds, Signal, Source, Transition

ABOUT = {"metadata": {"namespace": "trading", "name": "alpha", "uid": "u-1", "resourceVersion": "5"}}
NOTHING = Outcome({}, (), (), ())
NONE = TradingAccountStatus()
POLICY = Hold(Source.POLICY, Signal.DRIFT, "drift", 1_790_000_000_000, "base", ("a",))


class Recorder:
    """An API server that takes Events. `failing`: the HTTP status of each call, 0 for none."""

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.patched: list[tuple[str, int]] = []
        self.failing: int | None = None

    async def may(self, _verb: str, _group: str, _resource: str, _namespace: str) -> bool:
        return False

    async def create_event(self, namespace: str, body: dict[str, Any]) -> str:
        assert namespace == body["metadata"]["namespace"] == "trading"
        if self.failing is not None:
            raise KubeError(self.failing, "create Event")
        self.created.append(body)
        return f"event-{len(self.created)}"

    async def patch_event(self, _namespace: str, name: str, body: Mapping[str, Any]) -> None:
        if self.failing is not None:
            raise KubeError(self.failing, "patch Event")
        self.patched.append((name, body["series"]["count"]))


class Told:
    """Events over a recorder."""

    def __init__(self) -> None:
        self.kube = Recorder()
        self.clock = ManualClock()
        self.events = Events(cast("Kube", self.kube), Rights(self.kube), self.clock)

    async def all(
        self,
        outcome: Outcome = NOTHING,
        *transitions: Transition,
        holds: Holds | None = None,
        refusal: str = "",
        before: TradingAccountStatus = NONE,
        after: TradingAccountStatus = NONE,
    ) -> list[tuple[str, str, str]]:
        self.kube.created.clear()
        await tell_all(self.events, ABOUT, outcome, transitions, holds or {}, refusal, (before, after))
        return [(event["type"], event["reason"], event["note"]) for event in self.kube.created]


@pytest.fixture
def told() -> Told:
    return Told()


def finding(id_: str = "1", rule: Rule = Rule.MISSING_ORDER, notional: str = "1") -> Finding:
    return Finding(rule, "BTC/USDT:USDT", id_, observed="canceled", notional=Decimal(notional))


def gone(id_: str) -> str:
    return f"the bot tracks order {id_} of BTC/USDT:USDT as open; on the exchange it is canceled"


def status(**conditions: tuple[str, str]) -> TradingAccountStatus:
    return TradingAccountStatus(
        conditions=tuple(
            Condition(
                type=kind,
                status=state,
                reason=reason,
                message=f"because {reason}",
                last_transition_time=datetime(2026, 11, 21, tzinfo=UTC),
            )
            for kind, (state, reason) in conditions.items()
        )
    )


async def test_nothing_new_is_not_told(told: Told) -> None:
    same = status(Ready=("False", "ExchangeUnreachable"))
    assert await told.all(before=same, after=same) == []


async def test_each_rule_is_told_once_with_its_worst_finding_and_how_many_more(told: Told) -> None:
    confirmed = (finding("1"), finding("2", notional="50"), finding("3"), finding("9", Rule.DUPLICATE_KEY))
    assert await told.all(Outcome({}, confirmed, (), ())) == [
        ("Warning", "DuplicateKey", "9 of BTC/USDT:USDT is listed twice"),
        ("Warning", "MissingOrder", f"{gone('2')}; and 2 more"),
    ]


async def test_what_resolved_is_told_in_one_event(told: Told) -> None:
    resolved = (finding("1"), finding("9", Rule.DUPLICATE_KEY))
    assert await told.all(Outcome({}, (), resolved, ())) == [
        ("Normal", "DriftResolved", "DuplicateKey: 9 of BTC/USDT:USDT is listed twice; and 1 more")
    ]


async def test_a_policy_hold_quotes_the_command_that_resumes_over_it(told: Told) -> None:
    raised = Transition(Source.POLICY, raised=True, why=Signal.DRIFT, message="MissingOrder: order 1 is gone")
    notes = f"accountsync.dev/resume={POLICY.digest} accountsync.dev/resumed-by=YOU"
    command = f"kubectl annotate --overwrite -n trading ta alpha {notes}"
    assert await told.all(NOTHING, raised, holds={Source.POLICY: POLICY}) == [
        (
            "Warning",
            "HoldRaised",
            f"Policy hold raised: MissingOrder: order 1 is gone. To resume over it: {command}",
        )
    ]


async def test_a_hold_that_nobody_resumes_quotes_no_command(told: Told) -> None:
    raised = Transition(Source.STARTUP, raised=True, why=Signal.CREATED, message="nothing has judged it")
    standing = Hold(Source.STARTUP, Signal.CREATED, "nothing has judged it", 0)
    assert await told.all(NOTHING, raised, holds={Source.STARTUP: standing}) == [
        ("Warning", "HoldRaised", "Startup hold raised: nothing has judged it")
    ]


async def test_a_lifted_hold_is_good_news(told: Told) -> None:
    lifted = Transition(Source.POLICY, raised=False, why=Signal.RESUMED, message="a person resumed")
    assert await told.all(NOTHING, lifted) == [("Normal", "HoldLifted", "Policy hold lifted: a person resumed")]


@pytest.mark.parametrize("source", BY_PERSON)
async def test_a_hold_that_gathered_more_is_told_of_with_the_digest_that_counts_now(told: Told, source: Source) -> None:
    before = Hold(source, Signal.DRIFT, "drift", 1_790_000_000_000, "base", ("a",))
    after = before.gather(["b"])
    assert await told.all(NOTHING, holds={source: after}, before=holding(before), after=holding(after)) == [
        (
            "Warning",
            "HoldWidened",
            (
                f"more findings joined the {source} hold. To resume over it: kubectl annotate --overwrite -n trading"
                f" ta alpha accountsync.dev/resume={after.digest} accountsync.dev/resumed-by=YOU"
            ),
        )
    ]
    assert await told.all(NOTHING, holds={source: after}, before=holding(after), after=holding(after)) == []


def holding(hold: Hold) -> TradingAccountStatus:
    return TradingAccountStatus(holds=tuple(written.holds(State(holds={hold.source: hold}))))


async def test_a_refused_resume_is_told(told: Told) -> None:
    assert await told.all(refusal="look again") == [("Warning", "ResumeRefused", "look again")]


async def test_one_reason_is_said_once(told: Told) -> None:
    before = status(Ready=("True", "Synced"), CredentialsValid=("True", "Accepted"))
    after = status(Ready=("False", "CredentialsRejected"), CredentialsValid=("False", "CredentialsRejected"))
    assert await told.all(before=before, after=after) == [
        ("Warning", "CredentialsRejected", "because CredentialsRejected")
    ]
    assert told.kube.patched == []


async def test_two_reasons_are_both_said(told: Told) -> None:
    after = status(Ready=("False", "CredentialsRejected"), BotReachable=("False", "BotTimeout"))
    assert [reason for _, reason, _ in await told.all(after=after)] == ["BotTimeout", "CredentialsRejected"]


async def test_another_reason_for_the_same_status_is_told(told: Told) -> None:
    before, after = status(Ready=("False", "ExchangeTimeout")), status(Ready=("False", "RateLimited"))
    assert [reason for _, reason, _ in await told.all(before=before, after=after)] == ["RateLimited"]


async def test_what_works_again_is_told_as_good_news(told: Told) -> None:
    before, after = status(BotReachable=("False", "BotTimeout")), status(BotReachable=("True", "StateRead"))
    assert await told.all(before=before, after=after) == [("Normal", "BotReachableAgain", "because StateRead")]


async def test_what_works_for_the_first_time_is_no_news(told: Told) -> None:
    assert await told.all(after=status(Ready=("True", "Synced"))) == []
    assert await told.all(before=status(Ready=("Unknown", "NotJudged")), after=status(Ready=("True", "Synced"))) == []


async def test_drift_and_pauses_are_told_by_findings_and_holds_not_by_conditions(told: Told) -> None:
    assert await told.all(after=status(InSync=("False", "DriftConfirmed"), Paused=("True", "Held"))) == []


def test_a_summary_names_the_worst_and_counts_the_rest() -> None:
    assert summary([]) == ""
    assert summary([finding("1")]) == f"MissingOrder: {gone('1')}"
    assert summary([finding("1"), finding("2", notional="5")]) == f"MissingOrder: {gone('2')}; and 1 more"


# --- series --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reason", "kind"), [("Forbidden", "Warning"), ("WatchForbidden", "Normal")])
async def test_a_right_that_costs_promptness_only_is_no_warning(told: Told, reason: str, kind: str) -> None:
    lacking = status(PermissionMissing=("True", reason))
    assert await told.all(after=lacking) == [(kind, "PermissionMissing", f"because {reason}")]


async def test_the_same_note_again_advances_a_series(told: Told) -> None:
    assert len(await told.all(refusal="look again")) == 1
    assert await told.all(refusal="look again") == []
    assert await told.all(refusal="look again") == []
    assert told.kube.patched == [("event-1", 2), ("event-1", 3)]


async def test_another_note_is_another_event(told: Told) -> None:
    await told.all(refusal="look again")
    assert len(await told.all(refusal="look at 2")) == 1
    assert told.kube.patched == []


async def test_a_series_ends_when_nothing_was_said_for_long(told: Told) -> None:
    await told.all(refusal="look again")
    told.clock.advance(SERIES_SECONDS)
    assert len(await told.all(refusal="look again")) == 1


async def test_a_series_goes_on_for_as_long_as_it_is_said(told: Told) -> None:
    await told.all(refusal="look again")
    for _ in range(5):
        told.clock.advance(SERIES_SECONDS - 1)
        assert await told.all(refusal="look again") == []


async def test_a_series_whose_event_was_deleted_begins_anew(told: Told) -> None:
    await told.all(refusal="look again")
    told.kube.failing = 404
    await told.all(refusal="look again")
    told.kube.failing = None
    assert len(await told.all(refusal="look again")) == 1


@pytest.mark.parametrize("code", [0, 403, 404, 500])
async def test_an_event_that_cannot_be_written_stops_nothing(told: Told, code: int) -> None:
    told.kube.failing = code
    assert await told.all(refusal="look again") == []


async def test_a_note_keeps_to_what_the_api_server_takes(told: Told) -> None:
    ((_, _, note),) = await told.all(refusal="é" * 2000)
    assert len(note.encode()) <= NOTE_CAP
