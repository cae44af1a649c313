"""Wrong Secrets, addresses, beliefs and symbols: each is told once, in words to act on, and harms nobody else."""

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from tests.support.controlplane import ControlPlane
from tests.support.running import Operator, until
from tests.support.stage import Body, HttpBot, Stage, belief, find_condition

from accountsync.errors import Reason
from accountsync.simulator import ApiKey, Fault, Simulator
from accountsync.simulator.thread import SimulatorThread

pytestmark = [pytest.mark.cluster]

TOKEN = "bot-token-7f3a9c51d2"
WRONG_KEY = "WrongKey" * 8
WRONG_SECRET = "WrongSecret" * 5
HEALTHY = "healthy"
CYCLES = 4


def good_belief() -> Body:
    return belief(positions=[("BTCUSDT", "0.5")])


class Scene:
    """One namespace with an account for each case and a healthy one beside them."""

    def __init__(self, stage: Stage, exchange: SimulatorThread, bot: HttpBot, operator: Operator) -> None:
        self.stage, self.exchange, self.bot, self.operator = stage, exchange, bot, operator
        self.keys: dict[str, ApiKey] = {}
        self.quiet_port = quiet_port()
        self.late_door: ThreadingHTTPServer | None = None

    def key(self, name: str) -> ApiKey:
        """The key of the exchange account called `name`, which holds 0.5 BTC."""

        def create(sim: Simulator) -> ApiKey:
            account = sim.world.create_account(name, wallet={"USDT": Decimal(10_000)})
            sim.world.set_position(account, "BTCUSDT", Decimal("0.5"), entry_price=Decimal(60_000))
            return sim.world.create_key(account)

        if name not in self.keys:
            self.keys[name] = self.exchange.call(create)
        return self.keys[name]

    def secret(self, name: str, use: str | None = "exchange-read", **entries: str) -> None:
        """The Secret of account `name`, with its right key unless `entries` say otherwise."""
        key = self.key(name)
        self.stage.secret(f"{name}-read", entries or {"apiKey": key.api_key, "secret": key.secret}, use)

    def at(self, url: str, secret: str = "") -> Body:
        """A state source: a bot that answers at `url`."""
        http: Body = {"url": url}
        if secret:
            http["secretRef"] = {"name": secret}
        return {"state": {"http": http}}

    def own(self, name: str, secret: str = "") -> Body:
        """A state source: where the bot of `name` answers."""
        return self.at(f"{self.bot.url}/{name}", secret)

    def open_late_door(self) -> None:
        """The bot that could not be reached comes up."""
        self.late_door = ThreadingHTTPServer(("127.0.0.1", self.quiet_port), self.bot._server.RequestHandlerClass)
        self.late_door.daemon_threads = True
        threading.Thread(target=self.late_door.serve_forever, daemon=True).start()

    def close(self) -> None:
        if self.late_door is not None:
            self.late_door.shutdown()
            self.late_door.server_close()

    def cycles(self) -> dict[str, float]:
        """How many cycles each account of this namespace has run."""
        start, end = 'grinder_reconcile_runs_total{account="', f'",namespace="{self.stage.namespace}"}}'
        rows = self.operator.metrics().items()
        return {
            row.removeprefix(start).removesuffix(end): value
            for row, value in rows
            if row.startswith(start) and row.endswith(end)
        }

    def await_cycles(self, number: int) -> None:
        """Wait until every account has run so many more."""
        before = self.cycles()
        assert len(before) == len(CASES) + 1

        def behind() -> list[str]:
            now = self.cycles()
            return [name for name, runs in before.items() if now[name] < runs + number]

        until(lambda: not behind(), f"{number} more cycles of {behind()}", 90)


def quiet_port() -> int:
    """A port on which nothing listens, below those that the system gives to clients."""
    for port in range(21_000, 22_000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("all ports are taken")


Act = Callable[[Scene, str], Any]


def right_secret(scene: Scene, name: str) -> None:
    scene.secret(name)


def no_secret(scene: Scene, name: str) -> None:
    scene.key(name)


def secret(use: str | None = "exchange-read", **entries: str) -> Act:
    return lambda scene, name: scene.secret(name, use, **entries)


def own_bot(scene: Scene, name: str) -> Body:
    return scene.own(name)


def exchange_at(url: str) -> Act:
    return lambda scene, name: {"exchange": {"id": "binanceusdm", "endpoint": url}, **scene.own(name)}


def bot_at(url: str) -> Act:
    return lambda scene, _: scene.at(url)


def in_configmap(scene: Scene, name: str) -> Body:
    del scene
    return {"state": {"configMap": {"name": f"{name}-state", "key": "belief.json"}}}


def correct_endpoint(scene: Scene, name: str) -> None:
    scene.stage.patch(name, {"spec": {"exchange": {"endpoint": scene.exchange.url}}})


def correct_belief(scene: Scene, name: str) -> None:
    scene.bot.beliefs[f"/{name}"] = good_belief


def correct_address(scene: Scene, name: str) -> None:
    scene.stage.patch(name, {"spec": {"bot": scene.own(name)}})


def publish_configmap(scene: Scene, name: str) -> None:
    scene.stage.configmap(f"{name}-state", {"belief.json": json.dumps(good_belief())})


@dataclass(frozen=True)
class Case:
    """An account that is well but for what is given: then `condition` has `reason` and a message with all of `says`.

    In `says`, {name} is the account's name and {namespace} its namespace. `document` is what its bot answers.
    """

    reason: Reason
    condition: str
    says: tuple[str, ...]
    secret: Act = right_secret
    spec: Act = own_bot
    document: Any = good_belief
    before: Act | None = None
    heal: Act | None = None

    @property
    def expected(self) -> str:
        return "True" if self.condition == "Stalled" else "False"


def bend(**options: Any) -> Act:
    """A refusal of every request of the account's key."""
    return lambda scene, name: scene.exchange.call(
        lambda sim: sim.faults.add(Fault.http_error(key=scene.key(name).fingerprint, **options))
    )


def garble(scene: Scene, name: str) -> None:
    key = scene.key(name).fingerprint
    scene.exchange.call(lambda sim: sim.faults.add(Fault.unparsable_quantity(path="*/positionRisk", key=key)))


def clear_faults(scene: Scene, name: str) -> None:
    key = scene.key(name).fingerprint

    def clear(sim: Simulator) -> None:
        for active in sim.faults:
            if active.fault.key == key:
                sim.faults.clear(active.id)

    scene.exchange.call(clear)


def wrong_bot_secret(scene: Scene, name: str) -> None:
    """An exchange's key where the bot's token belongs: it must not be sent there."""
    scene.secret(name)
    scene.stage.secret(f"{name}-bot", {"token": TOKEN}, "exchange-read")


SECRET = "spec.credentials.read.secretRef"
READ, BOT, STALLED, READY = "CredentialsValid", "BotReachable", "Stalled", "Ready"
CASES: dict[str, Case] = {
    # the exchange
    "unknown-exchange": Case(
        Reason.UNKNOWN_EXCHANGE,
        STALLED,
        ("spec.exchange.id", "binanceusdn", "did you mean binanceusdm"),
        spec=lambda scene, name: {"exchange": {"id": "binanceusdn"}, **scene.own(name)},
    ),
    "endpoint-loopback": Case(
        Reason.ENDPOINT_NOT_ALLOWED,
        STALLED,
        ("spec.exchange.endpoint", "http://127.0.0.2:1", "ask who runs the operator"),
        spec=exchange_at("http://127.0.0.2:1"),
        heal=correct_endpoint,
    ),
    "endpoint-evil": Case(
        Reason.ENDPOINT_NOT_ALLOWED,
        STALLED,
        ("spec.exchange.endpoint", "https://evil.example", "ask who runs the operator"),
        spec=exchange_at("https://evil.example"),
    ),
    "exchange-unreachable": Case(
        Reason.EXCHANGE_UNREACHABLE,
        READY,
        ("no connection to binanceusdm", "check spec.exchange.endpoint"),
        spec=exchange_at("http://127.0.0.1:1"),
        heal=correct_endpoint,
    ),
    "symbol-in-spec": Case(
        Reason.UNKNOWN_SYMBOL,
        STALLED,
        ("spec.exchange.symbols", "BTCUSDX", "e.g. BTCUSDT"),
        spec=lambda scene, name: {
            "exchange": {"id": "binanceusdm", "endpoint": scene.exchange.url, "symbols": ["BTCUSDT", "BTCUSDX"]},
            **scene.own(name),
        },
        heal=lambda scene, name: scene.stage.patch(name, {"spec": {"exchange": {"symbols": ["BTCUSDT"]}}}),
    ),
    "quantity-of-exchange": Case(
        Reason.EXCHANGE_MALFORMED,
        READY,
        ("positionAmt", "nothing is judged until"),
        before=garble,
        heal=clear_faults,
    ),
    # its Secret
    "secret-missing": Case(
        Reason.SECRET_NOT_FOUND,
        READ,
        (SECRET, "{name}-read", "{namespace}", "create it"),
        secret=no_secret,
        heal=right_secret,
    ),
    "secret-unlabelled": Case(
        Reason.SECRET_NOT_LABELLED,
        READ,
        (SECRET, "kubectl label secret -n {namespace} {name}-read accountsync.dev/use=exchange-read"),
        secret=secret(None),
        heal=right_secret,
    ),
    "secret-of-bot": Case(
        Reason.SECRET_NOT_LABELLED, READ, (SECRET, "{name}-read"), secret=secret("bot"), heal=right_secret
    ),
    "secret-of-trade": Case(
        Reason.SECRET_NOT_LABELLED, READ, (SECRET, "{name}-read"), secret=secret("exchange-trade"), heal=right_secret
    ),
    "secret-key-missing": Case(
        Reason.SECRET_KEY_MISSING,
        READ,
        (SECRET, "{name}-read", "needs the Secret key secret"),
        secret=secret(apiKey=WRONG_KEY),
        heal=right_secret,
    ),
    "key-unknown": Case(
        Reason.CREDENTIALS_REJECTED,
        READ,
        (SECRET, "{name}-read", "-2015", "check key, permissions and IP list"),
        secret=secret(apiKey=WRONG_KEY, secret=WRONG_SECRET),
        heal=right_secret,
    ),
    "key-format": Case(
        Reason.CREDENTIALS_REJECTED,
        READ,
        (SECRET, "{name}-read", "-2014", "check key"),
        before=bend(status=401, code=-2014, message="API-key format invalid."),
        heal=clear_faults,
    ),
    "key-signature": Case(
        Reason.CREDENTIALS_REJECTED,
        READ,
        (SECRET, "{name}-read", "-1022", "check key"),
        secret=lambda scene, name: scene.secret(name, apiKey=scene.key(name).api_key, secret=WRONG_SECRET),
        heal=right_secret,
    ),
    # the bot
    "bot-unreachable": Case(
        Reason.BOT_UNREACHABLE,
        BOT,
        ("spec.bot.state.http.url", "is the bot running"),
        spec=lambda scene, name: scene.at(f"http://127.0.0.1:{scene.quiet_port}/{name}"),
        heal=lambda scene, _: scene.open_late_door(),
    ),
    "bot-off-list": Case(
        Reason.BOT_ADDRESS_NOT_ALLOWED,
        STALLED,
        ("spec.bot.state.http.url", "ask who runs the operator to allow it"),
        spec=bot_at("http://127.0.0.2:1/state"),
        heal=correct_address,
    ),
    "bot-500": Case(
        Reason.BOT_REFUSED,
        BOT,
        ("spec.bot.state.http.url", "status 500", "see the bot's own log"),
        document=(500, b"boom"),
        heal=correct_belief,
    ),
    "bot-401": Case(
        Reason.BOT_REFUSED,
        BOT,
        ("status 401", "name a Secret in spec.bot.state.http.secretRef"),
        document=(401, b""),
        heal=correct_belief,
    ),
    "bot-404": Case(
        Reason.BOT_REFUSED, BOT, ("status 404", "check the path"), document=(404, b""), heal=correct_belief
    ),
    "bot-secret-missing": Case(
        Reason.SECRET_NOT_FOUND,
        BOT,
        ("spec.bot.state.http.secretRef", "{name}-bot", "create it"),
        spec=lambda scene, name: scene.own(name, f"{name}-bot"),
        heal=lambda scene, name: scene.stage.secret(f"{name}-bot", {"token": TOKEN}, "bot"),
    ),
    "bot-secret-of-exchange": Case(
        Reason.SECRET_NOT_LABELLED,
        BOT,
        ("spec.bot.state.http.secretRef", "{name}-bot", "accountsync.dev/use=bot"),
        secret=wrong_bot_secret,
        spec=lambda scene, name: scene.own(name, f"{name}-bot"),
        heal=lambda scene, name: scene.stage.secret(f"{name}-bot", {"token": TOKEN}, "bot"),
    ),
    # what the bot says
    "state-no-json": Case(
        Reason.STATE_MALFORMED, BOT, ("is not JSON", "line 1"), document=b'{"version": 1,', heal=correct_belief
    ),
    "state-too-large": Case(
        Reason.STATE_TOO_LARGE,
        BOT,
        ("over 1024 KiB", "publish open orders and positions only"),
        document=b" " * (1024 * 1024 + 1),
        heal=correct_belief,
    ),
    "state-in-future": Case(
        Reason.STATE_IN_FUTURE,
        BOT,
        ("asOf", "in the future", "compare the clocks"),
        document=lambda: belief(age=-3600),
        heal=correct_belief,
    ),
    "state-stale": Case(
        Reason.STATE_STALE,
        BOT,
        ("spec.bot.staleAfter", "still publishing"),
        document=lambda: belief(age=3600),
        heal=correct_belief,
    ),
    "state-not-ready": Case(
        Reason.BOT_NOT_READY, BOT, ("ready: true",), document=lambda: belief(ready=False), heal=correct_belief
    ),
    "state-quantity": Case(
        Reason.STATE_MALFORMED,
        BOT,
        ("positions[0].quantity", "docs/state.md"),
        document=lambda: belief(positions=[("BTCUSDT", "0.5x")]),
        heal=correct_belief,
    ),
    "state-symbol": Case(
        Reason.STATE_MALFORMED,
        BOT,
        ("positions[0].symbol", "BTC/USDT:USDT"),
        document=lambda: belief(positions=[("BTCUSDX", "0.5")]),
        heal=correct_belief,
    ),
    "configmap-missing": Case(
        Reason.STATE_NOT_FOUND,
        BOT,
        ("ConfigMap {namespace}/{name}-state", "not found", "spec.bot.state.configMap.name"),
        spec=in_configmap,
        heal=publish_configmap,
    ),
    "configmap-key-missing": Case(
        Reason.STATE_NOT_FOUND,
        BOT,
        ("ConfigMap {namespace}/{name}-state", "has no key belief.json", "spec.bot.state.configMap.key"),
        spec=in_configmap,
        before=lambda scene, name: scene.stage.configmap(f"{name}-state", {"other.json": "{}"}),
        heal=publish_configmap,
    ),
}


@pytest.fixture(scope="module")
def scene(cluster: ControlPlane, exchange: SimulatorThread, bot: HttpBot, operator: Operator) -> Iterator[Scene]:
    scene = Scene(Stage(cluster, "bad-input", exchange.url), exchange, bot, operator)
    scene.secret(HEALTHY)
    for name, case in {HEALTHY: Case(Reason.INTERNAL, READY, ()), **CASES}.items():
        case.secret(scene, name)
        if case.before is not None:
            case.before(scene, name)
        bot.beliefs[f"/{name}"] = case.document
        scene.stage.account(name, interval="2s", timeout="2s", **case.spec(scene, name))
    yield scene
    scene.close()
    scene.stage.api("DELETE", scene.stage.accounts)


by_case = pytest.mark.parametrize("name", CASES)


@by_case
def test_it_is_told_once_in_words_to_act_on_and_nothing_is_judged(scene: Scene, name: str) -> None:
    case, stage = CASES[name], scene.stage
    status = stage.await_status(
        name,
        lambda s: (
            find_condition(s, case.condition).get("status") == case.expected
            and find_condition(s, case.condition)["reason"] == case.reason
        ),
        f"{case.condition}={case.expected} with reason {case.reason}",
    )
    condition = find_condition(status, case.condition)
    for text in case.says:
        assert text.format(name=name, namespace=stage.namespace) in condition["message"]
    assert not condition["message"].endswith("…"), "it was cut, and what to do stands at the end"
    assert find_condition(status, "Ready")["status"] == "False"
    assert find_condition(status, "InSync")["status"] == "Unknown"
    assert status["sync"] == "Unknown"
    assert status["findings"]["total"] == 0
    assert status["pausedBy"] == "Startup"
    told = until(lambda: [e for e in stage.events(name) if e["reason"] == case.reason], f"Event {case.reason}", 15)
    assert told[0]["type"] == "Warning"
    assert told[0]["note"] == condition["message"]


def test_no_cycle_repeats_what_was_told_and_the_healthy_account_is_judged_meanwhile(scene: Scene) -> None:
    def told() -> dict[str, list[tuple[str, Any]]]:
        return {name: [(e["reason"], e.get("series")) for e in scene.stage.events(name)] for name in CASES}

    scene.await_cycles(1)  # the last of them have told it
    judged = scene.cycles()[HEALTHY]
    before = told()
    scene.await_cycles(CYCLES)
    assert told() == before
    assert before == {name: [("HoldRaised", None), (str(case.reason), None)] for name, case in CASES.items()}

    assert scene.cycles()[HEALTHY] >= judged + CYCLES
    scene.stage.annotate(HEALTHY, "requestedAt", "still-there")
    status = scene.stage.await_status(HEALTHY, lambda s: s.get("lastHandledReconcileAt") == "still-there", "echo")
    assert status["sync"] == "InSync"
    assert [e["reason"] for e in scene.stage.events(HEALTHY)] == ["HoldRaised", "HoldLifted"]
    for name in CASES:
        assert scene.stage.status(name)["findings"]["total"] == 0, name
        assert scene.stage.status(name)["pausedBy"] == "Startup", name


@pytest.fixture(scope="module")
def mended(scene: Scene) -> Scene:
    """The same, after all causes that can be mended were."""
    for name, case in CASES.items():
        if case.heal is not None:
            case.heal(scene, name)
    return scene


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.heal is not None])
def test_mending_the_cause_heals_it(mended: Scene, name: str) -> None:
    case, scene = CASES[name], mended
    status = scene.stage.await_status(name, lambda s: s["sync"] == "InSync" and not s["paused"], "healed account")
    assert find_condition(status, "Ready")["status"] == "True"
    assert find_condition(status, "Stalled") == {}
    assert find_condition(status, case.condition).get("status", "False") == (
        "False" if case.condition == STALLED else "True"
    )


def test_no_secret_value_is_shown_anywhere(scene: Scene) -> None:
    values = {TOKEN, WRONG_KEY, WRONG_SECRET}
    values.update(text for key in scene.keys.values() for text in (key.api_key, key.secret))
    values.update([base64.b64encode(value.encode()).decode() for value in values])
    assert len(values) == 2 * (3 + 2 * (len(CASES) + 1))
    shown = {
        "log": scene.operator.output,
        "metrics": scene.operator.get("/metrics"),
        "accounts": json.dumps(scene.stage.api("GET", scene.stage.accounts)),
        "events": json.dumps([scene.stage.events(name) for name in CASES]),
    }
    assert "operator started" in shown["log"]
    for where, text in shown.items():
        assert not [value for value in values if value in text], where
