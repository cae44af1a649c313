"""What was seen of the admission policy is believed for a while, and what went wrong is never taken for a proof."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from tests.support.fakes import ManualClock

from accountsync.controller.approvals import PROVEN_SECONDS, SENTENCE, UNPROVEN_SECONDS, Approvals
from accountsync.controller.kube import KubeError


class ApiServer:
    """Refuses by the policy, or not, or fails."""

    def __init__(self, answer: bool | Exception) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def refuses_plan(self, namespace: str, plan: Mapping[str, Any], sentence: str) -> bool:
        assert plan["spec"]["approved"]
        assert sentence == SENTENCE
        self.asked.append(namespace)
        await asyncio.sleep(0)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def test_a_proof_lasts_longer_than_the_lack_of_one() -> None:
    clock, server = ManualClock(), ApiServer(answer=True)
    approvals = Approvals(server, clock)
    assert await approvals.protected("a") == ""
    server.answer = False
    clock.advance(PROVEN_SECONDS - 1)
    assert await approvals.protected("a") == ""
    clock.advance(1)
    assert "would be accepted in namespace a" in await approvals.protected("a")
    server.answer = True
    clock.advance(UNPROVEN_SECONDS - 1)
    assert await approvals.protected("a") != ""
    clock.advance(1)
    assert await approvals.protected("a") == ""
    assert server.asked == ["a"] * 3


async def test_each_namespace_is_tried_once_however_many_ask() -> None:
    server = ApiServer(answer=True)
    approvals = Approvals(server, ManualClock())
    answers = await asyncio.gather(*(approvals.protected(each) for each in ["a", "b"] * 20))
    assert set(answers) == {""}
    assert sorted(server.asked) == ["a", "b"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KubeError(0, "try"), "the API server did not answer"),
        (KubeError(403, "try"), "bind ClusterRole accountsync"),
        (KubeError(404, "try"), "apply the crds/"),
        (KubeError(422, "try"), "HTTP 422"),
        (KubeError(503, "try"), "HTTP 503"),
        (RuntimeError("a secret"), "an unexpected error"),
    ],
)
async def test_an_error_is_no_proof_and_is_told_in_our_words(error: Exception, words: str) -> None:
    why = await Approvals(ApiServer(error), ManualClock()).protected("a")
    assert why.startswith("whether the admission policy is in force in namespace a is unknown: ")
    assert words in why
    assert "secret" not in why
