"""Rights that are missing: made sure of before anybody is told, and asked for again."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from accountsync.api.caps import CONDITION_MESSAGE_CAP, clip
from accountsync.controller import rights
from accountsync.controller.conditions import LATE
from accountsync.controller.kube import KubeError
from accountsync.controller.rights import Right, Rights, sentence

SECRETS = ("watch", "secrets", "trading")
TOLD = (
    'the operator may not watch secrets in namespace "trading": bind ClusterRole accountsync-tenant, or switch the'
    " watch off"
)


class Reviewer:
    """An API server that answers what is granted. `status`: with which it refuses to say."""

    def __init__(self) -> None:
        self.granted: set[tuple[str, str, str, str]] = set()
        self.status: int | None = None
        self.questions: list[tuple[str, str, str, str]] = []

    async def may(self, verb: str, group: str, resource: str, namespace: str) -> bool:
        self.questions.append((verb, group, resource, namespace))
        if self.status is not None:
            raise KubeError(self.status, "ask for a right")
        return (verb, group, resource, namespace) in self.granted


class Desk:
    """Rights whose waits take no time, and where they changed."""

    def __init__(self) -> None:
        self.reviewer = Reviewer()
        self.rights = Rights(self.reviewer)
        self.changed: list[str] = []
        self.rights.changed = self.changed.append


@pytest.fixture
async def desk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(rights, "SURE_AFTER", 0)
    monkeypatch.setattr(rights, "ASK_AGAIN", 0)
    made = Desk()
    yield made
    await made.rights.close()


async def reached(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)


async def asked_thrice(desk: Desk) -> None:
    asked = len(desk.reviewer.questions)
    await reached(lambda: len(desk.reviewer.questions) >= asked + 3)


async def test_a_refusal_that_the_api_server_repeats_is_told_once_by_verb_resource_and_namespace(desk: Desk) -> None:
    with capture_logs() as lines:
        desk.rights.refused(*SECRETS)
        await asked_thrice(desk)
        desk.rights.refused(*SECRETS)
        await asked_thrice(desk)
    assert desk.rights.missing("trading") == TOLD
    assert [line["event"] for line in lines] == [TOLD]
    assert desk.changed == ["trading"]
    assert desk.reviewer.questions[0] == ("watch", "", "secrets", "trading")


async def test_a_refusal_of_a_moment_is_not_told(desk: Desk) -> None:
    desk.reviewer.granted.add(("watch", "", "secrets", "trading"))
    with capture_logs() as lines:
        desk.rights.refused(*SECRETS)
        await reached(lambda: not desk.rights._tasks)
    assert (desk.rights.missing("trading"), desk.changed, lines) == ("", [], [])


async def test_a_right_that_is_granted_later_is_missing_no_more(desk: Desk) -> None:
    desk.rights.refused(*SECRETS)
    await reached(lambda: desk.rights.missing("trading"))
    desk.reviewer.granted.add(("watch", "", "secrets", "trading"))
    await reached(lambda: not desk.rights.missing("trading"))
    assert desk.changed == ["trading", "trading"]


async def test_a_call_that_succeeds_says_so_sooner(desk: Desk) -> None:
    desk.rights.refused(*SECRETS)
    await reached(lambda: desk.rights.missing("trading"))
    desk.rights.granted(*SECRETS)
    assert (desk.rights.missing("trading"), desk.changed) == ("", ["trading", "trading"])
    desk.rights.granted(*SECRETS)
    assert len(desk.changed) == 2


async def test_where_nobody_may_ask_the_refusal_itself_counts(desk: Desk) -> None:
    desk.reviewer.status = 403
    desk.rights.refused(*SECRETS)
    await reached(lambda: desk.rights.missing("trading"))


@pytest.mark.parametrize("status", [0, 500])
async def test_an_api_server_that_does_not_answer_takes_no_right_away(desk: Desk, status: int) -> None:
    desk.reviewer.status = status
    desk.rights.refused(*SECRETS)
    await asked_thrice(desk)
    assert desk.rights.missing("trading") == ""


async def test_a_namespace_without_accounts_is_forgotten(desk: Desk) -> None:
    desk.rights.refused(*SECRETS)
    desk.rights.refused("create", "events", "other")
    await reached(lambda: desk.rights.missing("trading") and desk.rights.missing("other"))
    desk.rights.forget("trading")
    assert desk.rights.missing("trading") == ""
    assert "create events" in desk.rights.missing("other")


async def test_a_right_that_stays_missing_is_asked_for_ever_more_rarely(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > 8:
            await asyncio.Event().wait()

    monkeypatch.setattr("accountsync.controller.rights.asyncio.sleep", sleep)
    desk.rights.refused(*SECRETS)
    task = desk.rights._tasks[Right(*SECRETS)]
    await asyncio.wait([task], timeout=0.2)
    steps = [2, 30, 60, 120, 240, 480, 600, 600, 600]
    assert [0.8 <= pause / step <= 1.2 for pause, step in zip(pauses, steps, strict=True)] == [True] * len(steps)
    assert pauses[-3:] != [600, 600, 600], "not all at one time"


async def test_few_questions_are_asked_at_one_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = 0
    most = 0
    answer = asyncio.Event()

    async def may(*_: str) -> bool:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        await answer.wait()
        waiting -= 1
        return True

    monkeypatch.setattr(desk.reviewer, "may", may)
    for number in range(50):
        desk.rights.refused("watch", "secrets", f"tenant-{number}")
    await reached(lambda: most == rights.AT_ONCE)
    for _ in range(10):
        await asyncio.sleep(0)
    answer.set()
    await reached(lambda: not desk.rights._tasks)
    assert most == rights.AT_ONCE


async def test_a_watch_of_what_is_read_anyway_costs_promptness_only(desk: Desk) -> None:
    assert not desk.rights.only_late("trading")
    desk.rights.refused(*SECRETS)
    desk.rights.refused("watch", "configmaps", "trading")
    desk.rights.refused("patch", "tradingaccounts/status", "other")
    await reached(lambda: len(desk.rights._missing) == 3)
    assert desk.rights.only_late("trading")
    assert not desk.rights.only_late("other")
    desk.rights.refused("create", "events", "trading")
    await reached(lambda: len(desk.rights._missing) == 4)
    assert not desk.rights.only_late("trading")
    assert "patch tradingaccounts/status" in desk.rights.missing_for("other", "tradingaccounts/status")
    assert desk.rights.missing_for("trading", "tradingaccounts/status") == ""


async def test_after_the_end_nobody_asks(desk: Desk) -> None:
    desk.rights.refused(*SECRETS)
    await asked_thrice(desk)
    await desk.rights.close()
    asked = len(desk.reviewer.questions)
    await asyncio.sleep(0)
    assert len(desk.reviewer.questions) == asked


def test_several_are_one_sentence_that_fits_into_a_condition() -> None:
    missing = [
        Right(verb, resource, "n" * 63)
        for verb, resource in [("create", "events"), ("patch", "events"), ("watch", "secrets"), ("watch", "configmaps")]
    ]
    text = sentence(missing)
    assert text.startswith("the operator may not create events, patch events, watch configmaps, watch secrets in")
    assert text.count("bind ClusterRole accountsync-tenant") == text.count("or switch the watch off") == 1
    assert clip(text, CONDITION_MESSAGE_CAP) == text
    watches = sentence(right for right in missing if right.verb == "watch")
    assert clip(f"{watches}; {LATE}", CONDITION_MESSAGE_CAP) == f"{watches}; {LATE}"


def test_the_whole_cluster_is_named_as_such() -> None:
    assert sentence([Right("list", "tradingaccounts", "")]).startswith(
        "the operator may not list tradingaccounts in the cluster: "
    )


@pytest.mark.parametrize(
    ("resource", "group"),
    [
        ("secrets", ""),
        ("events", "events.k8s.io"),
        ("tradingaccounts", "accountsync.dev"),
        ("tradingaccounts/status", "accountsync.dev"),
    ],
)
def test_a_resource_is_asked_for_in_its_group(resource: str, group: str) -> None:
    assert Right("get", resource, "a").group == group
