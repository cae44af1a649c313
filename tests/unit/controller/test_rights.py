"""Rights that are missing: made sure of before anybody is told, and asked for again."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from accountsync.api.caps import CONDITION_MESSAGE_CAP, clip
from accountsync.controller import rights
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
