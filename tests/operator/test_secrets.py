"""Secrets: a rotated key is taken up without a restart, with and without the watch, and nothing is written to disk."""

import base64
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import pytest
from tests.support.controlplane import ControlPlane
from tests.support.running import Operator, until
from tests.support.stage import Body, HttpBot, Stage, belief, find_condition, open_account

from accountsync.simulator import ApiKey, Simulator
from accountsync.simulator.thread import SimulatorThread

pytestmark = [pytest.mark.cluster]

RBAC = "/apis/rbac.authorization.k8s.io/v1"
BY_NAME = "test-by-name"
CHDIR = "import os, sys; os.chdir(sys.argv[1]); os.execv(sys.argv[2], sys.argv[2:])"


class HomedOperator(Operator):
    """An operator with a home, a working directory and a folder for temporary files that nobody else uses."""

    def __init__(self, kubeconfig: Path, home: Path, *options: str) -> None:
        env = {"HOME": str(home), "TMPDIR": str(home), "XDG_CACHE_HOME": str(home / "cache")}
        super().__init__(kubeconfig, *options, env=env)
        self.home = home
        self._command = [sys.executable, "-c", CHDIR, str(home), *self._command]


class House:
    """A namespace, the operator that looks after it, and the values of its Secrets."""

    def __init__(self, operator: HomedOperator, stage: Stage) -> None:
        self.operator, self.stage = operator, stage
        self.values: set[str] = set()


@pytest.fixture(scope="module", params=["watched", "by name"])
def house(
    request: pytest.FixtureRequest,
    cluster: ControlPlane,
    kubeconfig: Path,
    exchange: SimulatorThread,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[House]:
    watched = request.param == "watched"
    stage = Stage(cluster, f"secrets-{'watched' if watched else 'by-name'}", exchange.url)
    options = [f"--namespace={stage.namespace}"]
    if not watched:
        options.append("--no-watch-secrets")
        allow_only_get(stage)
    with HomedOperator(kubeconfig, tmp_path_factory.mktemp("home"), *options) as operator:
        yield House(operator, stage)
    stage.api("DELETE", stage.accounts)


def allow_only_get(stage: Stage) -> None:
    """Bind a role that can read Secrets by name in place of the tenant's."""
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": BY_NAME},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
    }
    stage.api.apply(f"{RBAC}/clusterroles/{BY_NAME}", role)
    bindings = f"{RBAC}/namespaces/{stage.namespace}/rolebindings"
    bound = stage.api("GET", f"{bindings}/accountsync")
    stage.api("DELETE", f"{bindings}/accountsync")
    reference = {**bound["roleRef"], "name": BY_NAME}
    stage.api("POST", bindings, {"metadata": {"name": BY_NAME}, "roleRef": reference, "subjects": bound["subjects"]})
    account = bound["subjects"][0]
    user = f"--as=system:serviceaccount:{account['namespace']}:{account['name']}"
    may = stage.plane.kubectl("auth", "can-i", "list", "secrets", user, f"-n{stage.namespace}", check=False)
    assert may.strip() == "no"


def key_of(exchange: SimulatorThread, full: str) -> ApiKey:
    return exchange.call(lambda sim: next(key for key in sim.world.keys.values() if key.account == full))


def put(house: House, name: str, key: ApiKey) -> None:
    house.values.update([key.api_key, key.secret])
    house.stage.secret(f"{name}-read", {"apiKey": key.api_key, "secret": key.secret})


def in_sync(status: Body) -> bool:
    return status.get("sync") == "InSync" and find_condition(status, "CredentialsValid").get("status") == "True"


def test_a_revoked_key_is_replaced_without_a_restart(house: House, exchange: SimulatorThread, bot: HttpBot) -> None:
    full = open_account(house.stage, exchange, bot, "revoked")
    old = key_of(exchange, full)
    house.values.update([old.api_key, old.secret])
    house.stage.await_status("revoked", in_sync, "first cycle")

    new = exchange.call(lambda sim: sim.world.rotate_key(old))
    rejected = house.stage.await_status(
        "revoked",
        lambda s: find_condition(s, "CredentialsValid")["reason"] == "CredentialsRejected",
        "the exchange's refusal",
    )
    assert "revoked-read" in find_condition(rejected, "CredentialsValid")["message"]
    put(house, "revoked", new)
    house.stage.await_status("revoked", in_sync, "the new key", 20)
    again = lambda: [e for e in house.stage.events("revoked") if e["reason"] == "CredentialsValidAgain"]  # noqa: E731
    until(again, "Event that it works again", 20)
    assert house.operator.process.poll() is None


# Without the watch it takes up to a minute, for which a Secret is kept.
@pytest.mark.parametrize("house", ["watched"], indirect=True)
def test_a_key_that_is_replaced_while_the_old_one_still_works_is_taken_up(
    house: House, exchange: SimulatorThread, bot: HttpBot
) -> None:
    full = open_account(house.stage, exchange, bot, "replaced")
    old = key_of(exchange, full)
    house.stage.await_status("replaced", in_sync, "first cycle")
    new = exchange.call(lambda sim: sim.world.create_key(sim.world.account(full)))
    put(house, "replaced", new)

    def keys_used(sim: Simulator) -> list[str]:
        return [record.key for record in sim.requests.select(account=full)]

    until(lambda: exchange.call(keys_used)[-1] == new.fingerprint, "requests with the new key", 20)
    taken_up = len(exchange.call(keys_used))
    until(lambda: len(exchange.call(keys_used)) > taken_up + 8, "further cycles", 20)
    assert old.fingerprint not in exchange.call(keys_used)[taken_up:]
    assert house.stage.status("replaced")["sync"] == "InSync"


class TokenBot:
    """A bot that answers only who presents `token`."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.welcomed = 0
        bot = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                welcome = self.headers.get("Authorization") == f"Bearer {bot.token}"
                self.send_response(200 if welcome else 401)
                self.end_headers()
                if welcome:
                    bot.welcomed += 1
                    self.wfile.write(json.dumps(belief(positions=[("BTCUSDT", "0.5")])).encode())

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/state"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_a_changed_token_of_the_bot_is_taken_up(house: House, exchange: SimulatorThread, bot: HttpBot) -> None:
    house.values.update(["first-token-5b1f", "second-token-77c0"])
    with TokenBot("first-token-5b1f") as guarded:
        house.stage.secret("guarded-bot", {"token": guarded.token}, "bot")
        state = {"http": {"url": guarded.url, "secretRef": {"name": "guarded-bot"}}}
        open_account(house.stage, exchange, bot, "guarded")
        house.stage.patch("guarded", {"spec": {"bot": {"state": state}}})
        until(lambda: guarded.welcomed, "a request with the first token", 20)
        house.stage.await_status("guarded", in_sync, "first cycle")
        guarded.token = "second-token-77c0"
        refused = house.stage.await_status(
            "guarded", lambda s: find_condition(s, "BotReachable")["reason"] == "BotRefused", "the bot's refusal"
        )
        assert (
            "check the Secret named in spec.bot.state.http.secretRef"
            in find_condition(refused, "BotReachable")["message"]
        )
        house.stage.secret("guarded-bot", {"token": guarded.token}, "bot")
        house.stage.await_status("guarded", in_sync, "the new token", 20)
        house.stage.api("DELETE", f"{house.stage.accounts}/guarded")


def test_nothing_of_a_secret_is_on_disk(house: House) -> None:
    operator = house.operator
    assert len(house.values) >= 6
    pid = operator.process.pid
    if Path("/proc/self/cwd").exists():
        assert Path(f"/proc/{pid}/cwd").resolve() == operator.home.resolve()
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert f"TMPDIR={operator.home}".encode() in environment
        opened = [str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()]
        written = [name for name in opened if name.startswith("/") and not name.startswith(("/dev/", "/proc/"))]
        assert [name for name in written if not name.startswith(str(operator.home))] == []
    encoded = {base64.b64encode(value.encode()) for value in house.values}
    for file in (path for path in operator.home.rglob("*") if path.is_file()):
        content = file.read_bytes()
        assert not [value for value in house.values if value.encode() in content], file
        assert not [value for value in encoded if value in content], file
