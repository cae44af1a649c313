"""Evidence of a running operator: written on request, verified and replayed by the command line, without a secret."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.running import Operator, accountsync, until
from tests.support.stage import HttpBot, Stage, belief, open_account

from accountsync.simulator.thread import SimulatorThread

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="module")
def operator(kubeconfig: Path, artifacts: Path) -> Iterator[Operator]:
    with Operator(kubeconfig, env={"GRINDER_ARTIFACT_DIR": str(artifacts)}) as running:
        yield running


@pytest.mark.usefixtures("operator")
def test_an_account_that_asks_for_it_leaves_evidence_that_can_be_verified_and_replayed(
    exchange: SimulatorThread, bot: HttpBot, stage: Stage, artifacts: Path
) -> None:
    folder = artifacts / "account_sync"
    full = open_account(stage, exchange, bot, "kept", evidence=True)
    open_account(stage, exchange, bot, "silent")
    for name in ("kept", "silent"):
        stage.await_status(name, lambda s: s.get("sync") == "InSync", "clean account")
    bot.beliefs[f"/{full}"] = lambda: belief(positions=[("BTCUSDT", "0.4")])
    stage.await_status("kept", lambda s: s.get("sync") == "OutOfSync", "confirmed finding")

    def told() -> list[Path]:
        whole = [path.parent for path in folder.glob("[0-9]*/sha256sums.txt")]  # it is written last
        return [each for each in whole if '"confirmed"' in (each / "mismatches.json").read_text()]

    bundle = until(told, "bundle with the finding", 60)[0]
    assert len(list(bundle.iterdir())) == 6

    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "sha256sums.txt"], cwd=bundle, check=True)
    for verb in ("verify", "replay"):
        subprocess.run(accountsync("evidence", verb, str(folder)), check=True, capture_output=True)
    texts = [path.read_text() for path in folder.glob("*/*")]
    secrets = exchange.call(lambda sim: [part for key in sim.world.keys.values() for part in (key.api_key, key.secret)])
    assert not [secret for secret in secrets for text in texts if secret in text]
    assert not [text for text in texts if "silent" in text]

    (bundle / "positions.json").write_text("[]\n")
    tampered = subprocess.run(
        accountsync("evidence", "verify", str(folder)), check=False, capture_output=True, text=True
    )
    assert tampered.returncode == 1
    assert "positions.json" in tampered.stdout + tampered.stderr
