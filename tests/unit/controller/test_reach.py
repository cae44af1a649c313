"""Whose accounts can be followed: a namespace that is closed is named, and harms no other."""

import asyncio

import pytest
from structlog.testing import capture_logs

from accountsync.controller import reach
from accountsync.controller.kube import KubeError
from accountsync.controller.operator import StartError


class Cluster:
    """An API server. `refused`: (verb, namespace) → the HTTP status of each answer to come; the last one stays."""

    def __init__(self, **refused: list[int]) -> None:
        self.refused = {tuple(name.split("_")): statuses for name, statuses in refused.items()}

    def _answer(self, verb: str, namespace: str) -> None:
        statuses = self.refused.get((verb, namespace), [200])
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        if status != 200:
            raise KubeError(status, verb)

    async def list_accounts(self, namespace: str) -> None:
        self._answer("list", namespace)

    async def watch_accounts(self, namespace: str) -> None:
        self._answer("watch", namespace)


@pytest.fixture(autouse=True)
def _wait_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "PAUSE", 0)
    monkeypatch.setattr(reach, "ASK_AGAIN", 0)


async def test_a_namespace_without_a_role_is_named_with_its_verbs() -> None:
    cluster = Cluster(list_closed=[403], watch_closed=[403], watch_half=[403])
    closed = await reach.closed(cluster, ("open", "closed", "half"))
    assert set(closed) == {"closed", "half"}
    assert closed["closed"].startswith(
        'the operator may not list tradingaccounts, watch tradingaccounts in namespace "closed": '
    )
    assert closed["half"].startswith('the operator may not watch tradingaccounts in namespace "half": ')


async def test_a_role_that_takes_a_moment_to_count_closes_nothing() -> None:
    assert await reach.closed(Cluster(list_a=[403, 403, 200]), ("a",)) == {}


@pytest.mark.parametrize("status", [0, 429, 500])
async def test_an_api_server_that_does_not_answer_closes_nothing(status: int) -> None:
    assert await reach.closed(Cluster(list_a=[status], watch_a=[status]), ("a",)) == {}


async def test_a_cluster_without_the_crd_says_what_to_install() -> None:
    with pytest.raises(StartError, match=r"knows no tradingaccounts: install the CustomResourceDefinitions"):
        await reach.closed(Cluster(list_=[404]), ("",))


async def test_a_crd_that_is_being_established_is_awaited() -> None:
    assert await reach.closed(Cluster(list_=[404, 404, 200]), ("",)) == {}


async def test_a_closed_namespace_is_taken_in_when_it_opens() -> None:
    opened: list[str] = []

    async def take(namespace: str) -> None:
        opened.append(namespace)

    cluster = Cluster(list_a=[403, 403, 403, 200], list_b=[403, 200])
    with capture_logs() as lines:
        async with asyncio.timeout(10):
            await reach.await_opening(cluster, {"a": "why", "b": "why"}, take)
    assert opened == ["b", "a"]
    assert [line["namespace"] for line in lines] == ["b", "a"]


def test_what_is_left_out_is_logged_as_an_error() -> None:
    with capture_logs() as lines:
        reach.told({"a": 'the operator may not list tradingaccounts in namespace "a"'})
    (line,) = lines
    assert (line["log_level"], line["namespace"]) == ("error", "a")
    assert "may not list tradingaccounts" in line["event"]
