"""Whose accounts can be followed: a namespace that is closed is named and harms no other; no answer changes nothing."""

import asyncio
from collections.abc import Callable, Iterable

import pytest
from structlog.testing import capture_logs

from accountsync.controller import reach
from accountsync.controller.kube import KubeError
from accountsync.controller.reach import Reach, Verdict

LACKING = 'the operator may not list tradingaccounts in namespace "a": bind ClusterRole accountsync'


class Cluster:
    """An API server. `refused`: (verb, namespace) → the HTTP status of each answer to come; the last one stays."""

    def __init__(self, **refused: list[int]) -> None:
        self.refused = {tuple(name.split("_")): statuses for name, statuses in refused.items()}
        self.asked = 0

    def _answer(self, verb: str, namespace: str) -> None:
        self.asked += 1
        statuses = self.refused.get((verb, namespace), [200])
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        if status != 200:
            raise KubeError(status, verb)

    async def list_accounts(self, namespace: str) -> str:
        self._answer("list", namespace)
        return "7"

    async def watch_accounts(self, namespace: str, since: str) -> None:
        assert since in {"7", ""}
        self._answer("watch", namespace)


class Desk:
    """A reach that asks without a pause, and what it told of."""

    def __init__(self, cluster: Cluster, namespaces: Iterable[str]) -> None:
        self.cluster = cluster
        self.changes: list[tuple[str, bool]] = []
        self.reach = Reach(cluster, namespaces, self._changed)

    async def _changed(self, namespace: str, is_open: bool) -> None:
        self.changes.append((namespace, is_open))

    async def until(self, holds: Callable[[], object]) -> None:
        """Run until something is so."""
        running = asyncio.create_task(self.reach.run())
        try:
            async with asyncio.timeout(10):
                while not holds():  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def ask(self, times: int = 30) -> None:
        """Run for so many more questions."""
        asked = self.cluster.asked
        await self.until(lambda: self.cluster.asked >= asked + times)


@pytest.fixture(autouse=True)
def _wait_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAUSE", "ASK_SOON", "ASK_AGAIN"):
        monkeypatch.setattr(reach, name, 0)


# --- one answer ----------------------------------------------------------------------------------------------------


async def test_a_namespace_without_a_role_is_named_with_its_verbs() -> None:
    cluster = Cluster(list_closed=[403], watch_closed=[403], watch_half=[403])
    closed, half = await reach.ask(cluster, "closed"), await reach.ask(cluster, "half")
    assert closed.open is half.open is False
    assert closed.problem.startswith(
        'the operator may not list tradingaccounts, watch tradingaccounts in namespace "closed": '
    )
    assert half.problem.startswith('the operator may not watch tradingaccounts in namespace "half": ')
    assert await reach.ask(cluster, "open") == Verdict(open=True)


@pytest.mark.parametrize("status", [0, 401, 429, 500])
@pytest.mark.parametrize("verb", ["list", "watch"])
async def test_an_api_server_that_does_not_answer_says_neither(status: int, verb: str) -> None:
    assert (await reach.ask(Cluster(**{f"{verb}_a": [status]}), "a")).open is None


async def test_a_cluster_without_the_crd_says_what_to_install() -> None:
    verdict = await reach.ask(Cluster(list_=[404]), "")
    assert verdict.open is False
    assert "knows no tradingaccounts: install the CustomResourceDefinitions" in verdict.problem


# --- what follows of answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 404])
async def test_a_refusal_of_a_moment_closes_nothing(status: int) -> None:
    desk = Desk(Cluster(list_a=[200, status, status, 200]), ["a"])
    with capture_logs() as lines:
        await desk.ask()
    assert (desk.changes, lines) == ([("a", True)], [])


async def test_a_closed_namespace_is_told_once_and_harms_no_other() -> None:
    desk = Desk(Cluster(list_a=[403]), ["a", "b"])
    with capture_logs() as lines:
        await desk.ask(100)
    assert desk.changes == [("b", True)]
    assert desk.reach.followed == {"a": False, "b": True}
    assert desk.reach.reason == ""
    (line,) = lines
    assert (line["log_level"], line["namespace"]) == ("error", "a")
    assert line["event"].startswith(LACKING)


async def test_a_namespace_that_opens_is_taken_in_and_told() -> None:
    desk = Desk(Cluster(list_a=[403] * 6 + [200]), ["a"])
    with capture_logs() as lines:
        await desk.until(lambda: desk.changes)
    assert desk.changes == [("a", True)]
    assert [line["log_level"] for line in lines] == ["error", "info"]


async def test_a_namespace_that_closes_while_it_is_followed_is_left_out_and_told() -> None:
    desk = Desk(Cluster(watch_a=[200, 200, 403]), ["a", "b"])
    with capture_logs() as lines:
        await desk.until(lambda: ("a", False) in desk.changes)
    assert desk.reach.followed == {"a": False, "b": True}
    assert ["may not watch tradingaccounts" in line["event"] for line in lines] == [True]


async def test_an_api_server_that_is_away_opens_nothing_that_was_closed() -> None:
    desk = Desk(Cluster(list_a=[403] * 4 + [503]), ["a"])
    await desk.ask()
    assert (desk.changes, desk.reach.followed) == ([], {"a": False})
    assert desk.reach.reason.startswith(LACKING)


async def test_an_api_server_that_is_away_closes_nothing_that_was_open() -> None:
    desk = Desk(Cluster(list_a=[200, 503, 403, 503]), ["a"])
    with capture_logs() as lines:
        await desk.ask()
    assert (desk.changes, desk.reach.followed, lines) == ([("a", True)], {"a": True}, [])


async def test_an_api_server_that_is_away_at_the_start_is_awaited() -> None:
    desk = Desk(Cluster(list_a=[503] * 20 + [200]), ["a"])
    assert desk.reach.followed == {"a": False}
    assert desk.reach.reason
    with capture_logs() as lines:
        await desk.until(lambda: desk.changes)
    assert "HTTP 503" in lines[0]["event"]
    assert desk.reach.followed == {"a": True}


async def test_while_nothing_is_followed_the_reason_is_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "REMIND", 0)
    desk = Desk(Cluster(list_=[403]), [""])
    with capture_logs() as lines:
        await desk.ask(100)
    again = [line["event"] for line in lines if line["event"].startswith("no accounts are followed: ")]
    assert len(again) > 1
    assert "may not list tradingaccounts in the cluster" in again[-1]


async def test_the_end_of_the_last_one_is_awaited() -> None:
    desk = Desk(Cluster(list_a=[200, 403]), ["a"])
    ended: list[str] = []

    async def follow() -> None:
        await desk.reach.some()
        await desk.reach.none()
        ended.append("none")

    following = asyncio.create_task(follow())
    await desk.until(lambda: ended)
    await following
    assert desk.changes == [("a", True), ("a", False)]
