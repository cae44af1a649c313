"""The one function that decides, over every combination that its rules tell apart, and its properties."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accountsync.domain.policy import PauseLevel
from accountsync.gate.answer import Account, Answer, Cause, Facts, Override, Why, decide

HOLD = Cause("DriftConfirmed", "bot 0.5, exchange 0.8", "Policy", "2026-11-21T11:00:00Z")
OVERRIDE = Override("2026-11-21T12:00:00Z", "incident 42", "alice")
MODES = ("Observe", "Pause", "Enforce")
LIMIT = 60.0

# The first row that fits decides. None: any; `lost`, `unread`: nothing of heartbeat or account for failClosedAfter.
#  ending  override  account  paused  deleted  gated  reconciled  unread  lost   closed for
TABLE = [
    ((True, None, None, None, None, None, None, None, None), Why.GATE_ENDING),
    ((None, True, None, None, None, None, None, None, None), None),
    ((None, None, False, None, None, None, None, None, None), Why.UNKNOWN),
    ((None, None, None, True, True, None, None, None, None), Why.ACCOUNT_DELETED),
    ((None, None, None, True, None, None, None, None, None), "DriftConfirmed"),
    ((None, None, None, None, True, None, None, None, True), Why.ACCOUNT_DELETED),
    ((None, None, None, None, None, False, None, None, None), Why.NOT_GATED),
    ((None, None, None, None, None, None, False, None, None), Why.NOT_RECONCILED),
    ((None, None, None, None, None, None, None, True, None), Why.ACCOUNT_UNREAD),
    ((None, None, None, None, None, None, None, None, True), Why.HEARTBEAT_LOST),
    ((None, None, None, None, None, None, None, None, None), None),
]
IN_EVERY_MODE = {Why.GATE_ENDING, Why.UNKNOWN, "DriftConfirmed"}


def expected(case: tuple[bool, ...]) -> str | None:
    for row, outcome in TABLE:
        if all(wanted is None or wanted == given for wanted, given in zip(row, case, strict=True)):
            return outcome
    raise AssertionError(case)


def facts(case: tuple[bool, ...], mode: str, level: PauseLevel = PauseLevel.REDUCE_ONLY) -> Facts:
    ending, override, seen, paused, deleted, gated, reconciled, unread, lost = case
    limit = LIMIT if gated else None
    account = Account(mode, paused=paused, level=level, holds=(HOLD,) if paused else (), fail_closed_after=limit)
    return Facts(
        account=account if seen else None,
        deleted=deleted and seen,
        reconciled=reconciled,
        beat_age=LIMIT if lost else LIMIT - 0.001,
        account_age=LIMIT if unread else LIMIT - 0.001,
        override=OVERRIDE if override else None,
        ending=ending,
    )


@pytest.mark.parametrize("mode", MODES)
def test_each_of_all_512_combinations_is_decided_by_the_first_rule_that_fits(mode: str) -> None:
    for case in itertools.product((False, True), repeat=9):
        given_facts = facts(case, mode)
        _, _, seen, paused, *_ = case
        outcome = expected(case)
        answer = decide(given_facts)
        stops = outcome is not None and (
            mode != "Observe" or outcome in IN_EVERY_MODE or (outcome is Why.ACCOUNT_DELETED and paused)
        )
        assert answer.open is not stops, case
        assert [cause.reason for cause in answer.causes] == ([outcome] if stops else []), case
        assert answer.level == (PauseLevel.REDUCE_ONLY if stops else None), case
        if answer.override is None:
            assert [cause.reason for cause in answer.would_close] == ([outcome] if outcome and not stops else []), case
        assert answer.mode == (mode if seen else "")


def test_what_keeps_the_level_of_a_pause_is_its_deletion_and_the_end_of_the_gate() -> None:
    paused = Facts(account=Account("Pause", paused=True, level=PauseLevel.HALT, holds=(HOLD,)), reconciled=True)
    for each in (paused, replace(paused, deleted=True), replace(paused, ending=True), replace(paused, beat_age=99)):
        assert decide(each).level is PauseLevel.HALT
        assert not decide(each).may_reduce


def test_an_override_says_what_it_is_over() -> None:
    paused = Facts(account=Account("Pause", paused=True, holds=(HOLD,)), reconciled=True, override=OVERRIDE)
    answer = decide(paused)
    assert answer.open
    assert answer.override == OVERRIDE
    assert answer.would_close == (HOLD,)


def test_a_pause_without_a_hold_still_says_something() -> None:
    answer = decide(Facts(account=Account("Pause", paused=True), reconciled=True))
    assert [cause.reason for cause in answer.causes] == [Why.PAUSED]


def test_an_account_without_a_gate_is_told_what_to_set() -> None:
    answer = decide(Facts(account=Account("Enforce", fail_closed_after=None), reconciled=True))
    assert "spec.bot.gate" in answer.causes[0].message


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (Facts(account=Account("Pause"), reconciled=True, beat_age=61), Why.HEARTBEAT_LOST),
        (Facts(account=Account("Pause"), reconciled=True, account_age=61), Why.ACCOUNT_UNREAD),
        (Facts(account=Account("Pause")), Why.NOT_RECONCILED),
        (Facts(), Why.UNKNOWN),
    ],
)
def test_what_is_in_the_way_is_told_with_what_is_missing(facts: Facts, reason: Why) -> None:
    (cause,) = decide(replace(facts, trouble="may not read leases")).causes
    assert cause.reason == reason
    assert cause.message.endswith("may not read leases")


def test_a_heartbeat_that_never_came_asks_for_the_operator() -> None:
    assert "is the operator running" in decide(Facts(account=Account("Pause"), beat_age=61)).causes[0].message


# --- properties ------------------------------------------------------------------------------------------------------

AGES = st.floats(0, 200)
ACCOUNTS = st.builds(
    Account,
    mode=st.sampled_from((*MODES, "", "Later")),
    paused=st.booleans(),
    level=st.sampled_from(PauseLevel),
    holds=st.just(()) | st.just((HOLD,)),
    fail_closed_after=st.none() | st.floats(3, 100),
)
FACTS = st.builds(
    Facts,
    account=st.none() | ACCOUNTS,
    deleted=st.booleans(),
    reconciled=st.booleans(),
    beat_age=AGES,
    account_age=AGES,
    buried=st.none() | st.sampled_from(PauseLevel),
    override=st.none() | st.just(OVERRIDE),
    trouble=st.sampled_from(("", "no answer")),
    ending=st.booleans(),
)


def freedom(answer: Answer) -> int:
    return 2 if answer.open else int(answer.may_reduce)


@given(FACTS)
def test_it_never_opens_for_what_is_not_known_or_paused_unless_a_person_says_so(known: Facts) -> None:
    answer = decide(known)
    if answer.open and answer.override is None:
        assert known.account is not None
        assert not known.account.paused
        assert known.buried is None
        if known.account.mode != "Observe":
            assert known.reconciled
            assert known.account.fail_closed_after is not None
            assert known.beat_age < known.account.fail_closed_after
    if answer.open:
        assert not known.ending


@given(FACTS)
def test_closed_has_a_level_and_a_reason_and_open_has_neither(known: Facts) -> None:
    answer = decide(known)
    assert (answer.level is None) == answer.open
    assert bool(answer.causes) != answer.open
    assert all(cause.message for cause in answer.causes + answer.would_close)


@given(FACTS, AGES, AGES)
def test_more_that_speaks_for_closing_never_gives_a_bot_more_freedom(known: Facts, longer: float, later: float) -> None:
    before = freedom(decide(known))
    worse = [
        replace(known, beat_age=known.beat_age + longer, account_age=known.account_age + later),
        replace(known, reconciled=False),
        replace(known, override=None),
        replace(known, ending=True),
    ]
    if known.account is not None:
        account = known.account
        worse += [
            replace(known, deleted=True),
            replace(known, buried=PauseLevel.HALT),
            replace(known, account=replace(account, fail_closed_after=None)),
            replace(known, account=replace(account, paused=True)),
            replace(known, account=replace(account, paused=True, level=PauseLevel.HALT)),
        ]
        if account.mode == "Observe":
            worse.append(replace(known, account=replace(account, mode="Pause")))
    for each in worse:
        assert freedom(decide(each)) <= before, each


@given(FACTS)
def test_an_answer_survives_its_own_writing(known: Facts) -> None:
    answer = decide(known)
    assert Answer.of(answer.document()) == answer
