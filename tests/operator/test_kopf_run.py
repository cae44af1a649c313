"""`kopf run -m accountsync.controller`: the same operator by kopf's own command, set up by the environment."""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import pytest
from tests.support.controlplane import ControlPlane
from tests.support.running import Operator, accountsync
from tests.support.stage import HttpBot, Stage, find_condition, open_account

from accountsync.simulator.thread import SimulatorThread

pytestmark = [pytest.mark.cluster]

SWITCH = "GRINDER_ACCOUNT_SYNC_ENABLED"
ENVIRONMENT = {
    "ACCOUNTSYNC_HOST": "127.0.0.1",
    "ACCOUNTSYNC_PORT": "0",
    "ACCOUNTSYNC_ALLOWED_ENDPOINTS": "http://127.0.0.1:*",
    "ACCOUNTSYNC_ALLOWED_BOT_URLS": "http://127.0.0.1:*",
    "NO_COLOR": "1",
}


class KopfRun(Operator):
    """The operator under `kopf run`."""

    def __init__(self, kubeconfig: Path, *options: str, **env: str) -> None:
        super().__init__(kubeconfig, env={**ENVIRONMENT, **env})
        kopf = str(Path(sys.executable).with_name("kopf"))
        self._command = [kopf, "run", "-m", "accountsync.controller", *options]

    def __enter__(self) -> Self:
        super(Operator, self).__enter__()
        try:
            found = re.search(r"port=(\d+)", self.await_line("operator started"))
            assert found is not None
            self.port = int(found[1])
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self


@pytest.fixture
def other(cluster: ControlPlane, stage: Stage, exchange: SimulatorThread) -> Stage:
    return Stage(cluster, f"{stage.namespace}-other", exchange.url)


@pytest.fixture(autouse=True)
def _leave_no_account(stage: Stage) -> Iterator[None]:
    yield
    stage.api("DELETE", stage.accounts)


def test_all_namespaces_are_judged_and_the_probes_and_metrics_answer(
    kubeconfig: Path, exchange: SimulatorThread, bot: HttpBot, stage: Stage, other: Stage
) -> None:
    open_account(stage, exchange, bot, "one")
    with KopfRun(kubeconfig, "--all-namespaces") as running:
        stage.await_status("one", lambda s: s.get("sync") == "InSync" and not s["paused"], "judged account")
        open_account(other, exchange, bot, "two")
        other.await_status("two", lambda s: s.get("sync") == "InSync", "account of another namespace")
        assert running.get("/livez") == "ok\n"
        assert running.get("/readyz") == "ok\n"
        labels = f'{{account="one",namespace="{stage.namespace}"}}'
        assert running.metrics()[f"grinder_reconcile_runs_total{labels}"] >= 1
        assert running.metrics()[f"grinder_account_sync_positions_count{labels}"] == 1
        assert not [line for line in running.lines if re.search(r"(?<![,\d])403\b|orbidden", line)]  # no milliseconds
    other.api("DELETE", other.accounts)


def test_only_the_named_namespace_is_judged(
    kubeconfig: Path, exchange: SimulatorThread, bot: HttpBot, stage: Stage, other: Stage
) -> None:
    unseen = open_account(other, exchange, bot, "two")
    open_account(stage, exchange, bot, "one")
    with KopfRun(kubeconfig, "--namespace", stage.namespace) as running:
        stage.await_status("one", lambda s: s.get("sync") == "InSync", "judged account")
        assert running.metrics()["accountsync_owned_accounts"] == 1
    assert other.status("two") == {}
    assert exchange.call(lambda sim: sim.requests.select(account=unseen)) == []
    other.api("DELETE", other.accounts)


def test_switched_off_it_says_so_and_sends_nothing_to_the_exchange(
    kubeconfig: Path, exchange: SimulatorThread, bot: HttpBot, stage: Stage
) -> None:
    full = open_account(stage, exchange, bot, "one")
    sent = exchange.call(lambda sim: sim.requests.total)
    asked: list[str] = []
    bot.beliefs[f"/{full}"] = lambda: asked.append("once")
    with KopfRun(kubeconfig, f"--namespace={stage.namespace}", **{SWITCH: "0"}):
        status = stage.await_status("one", lambda s: find_condition(s, "Ready").get("status") == "False", "refusal")
        assert find_condition(status, "Ready")["reason"] == "SyncDisabled"
        assert SWITCH in find_condition(status, "Ready")["message"]
        stage.patch("one", {"spec": {"paused": True}})
        stage.await_status("one", lambda s: "User" in s["pausedBy"], "the kill switch, which works nevertheless")
    assert exchange.call(lambda sim: sim.requests.total) == sent
    assert asked == []


@pytest.mark.parametrize(
    "command",
    [
        [str(Path(sys.executable).with_name("kopf")), "run", "-m", "accountsync.controller", "--all-namespaces"],
        accountsync("operator", "--port=0"),
    ],
    ids=["kopf run", "accountsync operator"],
)
def test_a_switch_that_says_neither_yes_nor_no_is_refused_at_the_start(
    kubeconfig: Path, command: Sequence[str]
) -> None:
    refused = KopfRun(kubeconfig, **{SWITCH: "perhaps"})
    refused._command = list(command)
    with pytest.raises(RuntimeError, match=f"ended with [1-9](.|\n)*{SWITCH}: expected one of "):
        refused.__enter__()
    assert "perhaps" not in refused.output
