"""What an account's loop does first, and what it leaves, while a full reset is under way."""

from typing import Any

import pytest
from tests.unit.controller.test_account_loop import Stage

from accountsync import cycle
from accountsync.controller import account
from accountsync.controller.account import RESET_ASKED, AccountLoop
from accountsync.controller.remedying import Remedying


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the loop came to after a report, in order."""
    seen: list[str] = []

    async def act(*_: Any) -> None:
        seen.append("act")

    async def pause(*_: Any) -> None:
        seen.append("pause")

    monkeypatch.setattr(Remedying, "act", act)
    monkeypatch.setattr(AccountLoop, "_pause", pause)
    return seen


async def test_a_reset_that_is_abandoned_while_the_account_is_read_is_not_acted_on(
    stage: Stage, done: list[str]
) -> None:
    stage.edit(annotations={RESET_ASKED: "r1"})
    await stage.turn()
    assert "act" in done
    done.clear()

    async def abandon() -> None:
        stage.edit(annotations={RESET_ASKED: ""})

    stage.sides.meanwhile = abandon
    await stage.turn()
    assert "act" not in done


@pytest.mark.parametrize(("resetting", "order"), [(True, ["act", "pause"]), (False, ["pause", "act"])])
async def test_under_a_reset_the_exchange_comes_before_a_bot_that_may_hang(
    stage: Stage, done: list[str], monkeypatch: pytest.MonkeyPatch, resetting: bool, order: list[str]
) -> None:
    await stage.turn()
    done.clear()
    monkeypatch.setattr(Remedying, "resetting", resetting)
    await stage.turn()
    assert done == order


async def test_under_a_reset_the_belief_is_waited_for_no_longer_than_it_may(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    run = cycle.run

    async def noted(*args: Any, **options: Any) -> Any:
        waited.append(options["patience"])
        return await run(*args, **options)

    monkeypatch.setattr(account, "run", noted)
    monkeypatch.setattr(Remedying, "patience", 2.0)
    await stage.turn()
    assert waited == [2.0]
