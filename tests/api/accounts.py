"""TradingAccounts for tests: a smallest one, ways to break it, and a place on a real API server to try them."""

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.controlplane import ControlPlane

ROOT = Path(__file__).parents[2]
CRD = "tradingaccounts.accountsync.dev"
PLAN_CRD = "remediationplans.accountsync.dev"

MINIMAL: dict[str, Any] = {
    "exchange": {"id": "binanceusdm"},
    "credentials": {"read": {"secretRef": {"name": "key"}}},
    "bot": {"state": {"configMap": {"name": "state"}}},
}
SERVICE = {"name": "bot", "port": 8080}
TRADE = {"secretRef": {"name": "trade-key"}}
LIMITS = {"actionsPerHour": 10, "notionalPerAction": "500", "notionalPerHour": "2000"}
ALONE = {
    "mode": "Enforce",
    "unexpectedOrders": "Cancel",
    "unexpectedPositions": "Flatten",
    "limits": LIMITS,
}
ACTING = {"remediation": ALONE, "credentials.trade": TRADE, "bot.orderIdPrefix": "grinder_"}
"""What an account needs on which the operator acts alone."""


def account(name: str, spec: dict[str, Any] | None = None) -> dict[str, Any]:
    body: dict[str, Any] = {
        "apiVersion": "accountsync.dev/v1alpha1",
        "kind": "TradingAccount",
        "metadata": {"name": name, "namespace": "trading"},
    }
    return body if spec is None else body | {"spec": spec}


def changed(changes: dict[str, Any], spec: dict[str, Any] | None = None) -> dict[str, Any]:
    """The smallest spec, or `spec`, with each value at its path; None takes the field out."""
    out = copy.deepcopy(MINIMAL if spec is None else spec)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = out
        for step in parents:
            place = place.setdefault(step, {})
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return out


@dataclass(frozen=True)
class Refused:
    """Changes to the smallest spec that are refused: by the field at `path`, in words that hold `says`.

    `ours` is what our own check says where the API server's words are its own.
    """

    path: str
    says: str
    changes: dict[str, Any]
    ours: str = ""

    def __str__(self) -> str:
        return json.dumps(self.changes)


def refused(path: str, value: Any, says: str, ours: str = "", also: dict[str, Any] | None = None) -> Refused:
    return Refused(f"spec.{path}", says, {path: value, **(also or {})}, ours)


DURATION = "expected a duration such as 500ms, 15s, 5m or 1h30m"
ORIGIN = "with no path, no closing slash, no user and no query"
URL = "a credential belongs into secretRef"
DECIMAL = 'such as "0" or "0.01", without exponent'
NAME = "expected the name of an object in this namespace"
FREQTRADE = {"service": {"name": "bot", "port": 8080}, "secretRef": {"name": "bot"}}
LEDGER = {"secretRef": {"name": "ledger"}, "profile": "grid-btc"}
STATE = "set exactly one of configMap"
HTTP = "set exactly one of service"
INSTEAD = "set unexpectedOrders and unexpectedPositions to Never"
BOUNDS = "set notionalPerAction and notionalPerHour"
SLIPPAGE = "expected a part of the price of more than 0 and at most 0.1"
PREFIX = "expected the beginning of the bot's client order ids, since remediation.unexpectedOrders"
TRADE_KEY = "add credentials.trade.secretRef.name"
KEYS_APART = "expected another Secret than that of credentials.read"

REFUSED = [
    refused("exchange.id", "Binance", "expected the id of an exchange as ccxt spells it"),
    refused("exchange.id", "", "expected the id of an exchange as ccxt spells it"),
    refused("exchange.id", "x" * 41, "Too long", "expected the id of an exchange"),
    refused("exchange", {}, "Required value", "is required"),
    *[
        refused("exchange.endpoint", endpoint, ORIGIN)
        for endpoint in (
            "127.0.0.1:8900",
            "ftp://example.com",
            "http://example.com/",
            "http://example.com/fapi",
            "http://user@example.com",
            "http://user:word@example.com",
            "http://example.com?x=1",
            "http://example.com#x",
            "http://example.com\\@evil.example",
            "http://example.com:0",
            "http://example.com:65536",
            "http://example.com:80:80",
            "http://exa mple.com",
            "http://",
            "http://-",
            "http://example.com\n",
        )
    ],
    refused("exchange.symbols", [""], "spec.exchange.symbols[0]", "at least 1 character"),
    refused("exchange.symbols", ["x" * 65], "spec.exchange.symbols[0]", "at most 64 characters"),
    refused("exchange.symbols", [f"S{n}" for n in range(201)], "must have at most 200 items", "at most 200 items"),
    refused("credentials.read", None, "Required value", "is required"),
    refused("credentials.read.secretRef.name", "Not A Name", NAME),
    *[
        refused("interval", text, DURATION)
        for text in ("15", "15 s", "-15s", "soon", "", "1d", ".5s", "1.s", "15s\n", "9999999s")
    ],
    *[refused("interval", text, "expected a duration from 1s to 24h") for text in ("999ms", "0s", "24h1s", "100h")],
    refused("timeout", "soon", DURATION),
    refused("timeout", "0s", "expected a duration of more than 0s"),
    refused("timeout", "16s", "expected no more than spec.interval"),
    refused("timeout", "10s", "leave it out and 10s or two thirds of the interval holds", also={"interval": "5s"}),
    refused("staleAfter", "soon", DURATION),
    refused("staleAfter", "39s", "set spec.staleAfter to 40s or more, or lower spec.interval"),
    refused("staleAfter", "44s", "set spec.staleAfter to 45s or more", also={"timeout": "15s"}),
    refused("staleAfter", "18.666s", "set spec.staleAfter to 19s or more", also={"interval": "7s"}),
    Refused("spec.staleAfter", "set spec.staleAfter to 610s or more", {"interval": "5m"}),
    Refused("spec.staleAfter", "set spec.staleAfter to 172810s or more", {"interval": "24h"}),
    refused("pauseReason", "x" * 257, "Too long", "at most 256 characters"),
    refused("bot", {}, "Required value", "is required"),
    refused("bot.state", {}, STATE),
    refused("bot.state", {"configMap": {"name": "a"}, "http": {"service": SERVICE}}, STATE),
    refused("bot.state.http", {}, HTTP, also={"bot.state.configMap": None}),
    refused("bot.state.http", {"service": SERVICE, "url": "http://a.b"}, HTTP, also={"bot.state.configMap": None}),
    refused("bot.state.configMap.name", "UPPER", NAME),
    refused("bot.state.configMap.key", "a/b", "expected a key of the ConfigMap"),
    *[
        refused("bot.state", {"http": {"service": SERVICE | change}}, says, ours)
        for change, says, ours in (
            ({"name": "bot.other"}, "without namespace or domain", ""),
            ({"port": 0}, "greater than or equal to 1", "greater than or equal to 1"),
            ({"port": 65536}, "less than or equal to 65535", "less than or equal to 65535"),
            ({"path": "state"}, "begins with '/'", ""),
            ({"path": "/a b"}, "begins with '/'", ""),
            ({"scheme": "ftp"}, 'supported values: "http", "https"', "expected 'http' or 'https'"),
        )
    ],
    *[
        refused("bot.state", {"http": {"url": url}}, URL)
        for url in (
            "/state",
            "http://u:p@h.example/x",
            "file:///etc/passwd",
            "http://h.example/#a",
            "http://h.example/a b",
        )
    ],
    refused("bot.orderIdPrefix", "grinder 1", "at most 36 letters, digits"),
    refused("bot.orderIdPrefix", "x" * 37, "Too long", "at most 36 characters"),
    refused("bot.staleAfter", "0s", "expected a duration of more than 0s"),
    refused("bot.staleAfter", "x", DURATION),
    *[
        refused("tolerances.position", text, DECIMAL)
        for text in ("-1", "1e9", "1E1000000", "NaN", "Infinity", "", "1,5", ".5", "5.", "0x1", "1_0", "٣")
    ],
    refused("tolerances.orderGrace", "5", DURATION),
    refused("tolerances.confirmations", 0, "greater than or equal to 1", "greater than or equal to 1"),
    refused("tolerances.confirmations", 11, "less than or equal to 10", "less than or equal to 10"),
    refused("tolerances.balances", [{"asset": "USDT"}], "Required value", "is required"),
    refused("tolerances.balances", [{"asset": "USDT", "tolerance": "1e3"}], DECIMAL),
    *[refused("alerts", {"mismatchNotional": text}, DECIMAL) for text in ("-1", "1e9", "", "NaN")],
    *[refused("alerts", {"mismatchNotional": text}, "of more than zero") for text in ("0", "0.00")],
    *[
        refused("watchdog", {"allocatedCapital": "1000", "currency": "USDT"} | change, says, ours)
        for change, says, ours in (
            ({"allocatedCapital": "-1"}, DECIMAL, ""),
            ({"allocatedCapital": "0"}, "of more than zero", ""),
            ({"maxMismatchRatio": "0.0"}, "of more than zero", ""),
            ({"maxMismatchRatio": "half"}, DECIMAL, ""),
            ({"currency": "usdt"}, "expected a currency as the exchange spells it", ""),
            ({"currency": ""}, "expected a currency as the exchange spells it", ""),
            ({"autoResume": {"minPause": "soon"}}, DURATION, ""),
            ({"autoResume": {"cooldown": "-1m"}}, DURATION, ""),
            ({"autoResume": {"cleanCycles": 0}}, "greater than or equal to 1", "greater than or equal to 1"),
            ({"autoResume": {"cleanCycles": 101}}, "less than or equal to 100", "less than or equal to 100"),
        )
    ],
    refused("watchdog", {"currency": "USDT"}, "Required value", "is required"),
    refused("watchdog", {"allocatedCapital": "1000"}, "Required value", "is required"),
    refused("pauseLevel", "Stop", 'supported values: "ReduceOnly", "Halt"', "expected 'ReduceOnly' or 'Halt'"),
    refused(
        "remediation.mode",
        "Repair",
        'supported values: "Observe", "Pause", "Enforce"',
        "expected 'Observe', 'Pause' or 'Enforce'",
    ),
    refused("remediation.pauseAt", "low", "supported values", "expected 'critical', 'high', 'medium' or 'never'"),
    refused("remediation.unexpectedOrders", "Flatten", '"Never", "Plan", "Cancel"', "'Never', 'Plan' or 'Cancel'"),
    refused("remediation.unexpectedPositions", "Cancel", '"Never", "Plan", "Flatten"', "'Never', 'Plan' or 'Flatten'"),
    refused("remediation.flattenBy", "Stop", 'supported values: "Limit", "Market"', "expected 'Limit' or 'Market'"),
    *[refused("remediation.limits", {"actionsPerHour": count}, INSTEAD) for count in (0, -1, 101)],
    *[
        refused(f"remediation.limits.{name}", amount, INSTEAD)
        for name in ("notionalPerAction", "notionalPerHour")
        for amount in ("0", "0.00")
    ],
    refused("remediation.limits", {"notionalPerHour": "1e9"}, DECIMAL),
    *[
        Refused("spec.remediation.limits", BOUNDS, ACTING | {"remediation": asked})
        for asked in (
            ALONE | {"limits": {}},
            ALONE | {"limits": {"notionalPerHour": "2000"}},
            ALONE | {"limits": {"notionalPerAction": "500"}},
            {"unexpectedOrders": "Cancel"},
            {"mode": "Pause", "unexpectedPositions": "Flatten"},
        )
    ],
    *[
        refused("remediation.maxSlippage", text, SLIPPAGE)
        for text in ("0", "0.0", "0.1000000000001", "0.11", "0.2", "1", "10", "00.10000000000000001")
    ],
    refused("remediation.maxSlippage", "1%", DECIMAL),
    *[
        refused("remediation.planExpiry", text, "expected a duration from 1m to 24h")
        for text in ("59s", "24h1ms", "0s")
    ],
    refused("remediation.planExpiry", "soon", DURATION),
    *[
        refused("remediation.orderIdPrefixes", [text], "expected the beginning of client order ids")
        for text in ("", "a b", "ok*")
    ],
    refused("remediation.orderIdPrefixes", ["x" * 37], "Too long", "at most 36 characters"),
    refused("remediation.orderIdPrefixes", [f"p{n}" for n in range(11)], "at most 10 items", "at most 10 items"),
    refused("remediation.thresholds", [{"count": 3}], "Required value", "is required"),
    refused("remediation.thresholds", [{"rule": "Typo"}], "Unsupported value", "expected 'DuplicateKey'"),
    refused("remediation.thresholds", [{"rule": "MissingOrder", "notional": "-1"}], DECIMAL),
    refused("remediation.thresholds", [{"rule": "MissingOrder", "age": "soon"}], DURATION),
    refused(
        "remediation.thresholds",
        [{"rule": "MissingOrder", "count": -1}],
        "greater than or equal to 0",
        "greater than or equal to 0",
    ),
    refused("credentials.excessRights", "Ignore", '"Warn", "Refuse"', "expected 'Warn' or 'Refuse'"),
    refused("credentials.trade", {}, "Required value", "is required"),
    refused("credentials.trade.secretRef.name", "key", KEYS_APART),
    *[
        Refused("spec.credentials.trade", TRADE_KEY, ACTING | {"credentials.trade": None, "remediation": asked})
        for asked in (
            ALONE,
            {"mode": "Enforce", "unexpectedOrders": "Plan"},
            {"mode": "Enforce", "unexpectedPositions": "Plan"},
        )
    ],
    *[
        Refused("spec.bot.orderIdPrefix", PREFIX, {"remediation": {"unexpectedOrders": asked, "limits": LIMITS}})
        for asked in ("Plan", "Cancel")
    ],
    *[
        refused("bot.state", {"http": {"service": SERVICE, "repairPath": path}}, "e.g. /repair")
        for path in ("repair", "/re pair", "http://elsewhere.example/repair")
    ],
    refused("bot.state", {"freqtrade": FREQTRADE, "postgres": LEDGER}, STATE),
    refused("bot.state", {"freqtrade": {"secretRef": {"name": "bot"}}}, HTTP),
    refused("bot.state", {"freqtrade": FREQTRADE | {"url": "https://bot.example.com"}}, HTTP),
    refused("bot.state", {"postgres": LEDGER | {"profile": "grid btc"}}, "expected the name of a profile"),
    refused("bot.state", {"postgres": LEDGER | {"schema": "Ledger; drop"}}, "expected the name of a schema"),
    refused("bot.state", {"postgres": LEDGER | {"parity": {"confirmations": 0}}}, "1"),
    *[refused("bot.gate", {"failClosedAfter": text}, "expected a duration from 3s to 1h") for text in ("2s", "2h")],
    refused("bot.pauseAllowance", "-1s", DURATION),
]

ACCEPTED: list[dict[str, Any]] = [
    {},
    {"exchange.endpoint": ""},
    {"exchange.endpoint": "http://127.0.0.1:8900"},
    {"exchange.endpoint": "https://[::1]:65535"},
    {"exchange.endpoint": "https://fapi.binance.com"},
    {"exchange.symbols": ["BTCUSDT", "BTC/USDT:USDT", "币安人生USDT"]},
    {"interval": "1s"},
    {"interval": "1000ms"},
    {"interval": "24h", "staleAfter": "48h0m10s"},
    {"interval": "24h", "staleAfter": "172810s"},
    {"interval": "145s"},
    {"interval": "7s", "staleAfter": "18.667s"},
    {"interval": "2s", "staleAfter": "5.334s"},
    {"interval": "1.0009s", "staleAfter": "2.667s"},
    {"timeout": "1.9999ms", "staleAfter": "30.001s"},
    {"timeout": "15s", "staleAfter": "45s"},
    {"timeout": "15s"},
    {"timeout": "1ms"},
    {"bot.state": {"http": {"service": SERVICE}}},
    {"bot.state": {"http": {"service": SERVICE | {"path": "/api/state?full=1", "scheme": "https"}}}},
    {"bot.state": {"http": {"url": "https://bot.example.com:8443/state"}}},
    {"bot.state": {"http": {"url": "https://bot.example.com", "secretRef": {"name": "token"}}}},
    {"bot.orderIdPrefix": "a.B:/_-9"},
    {"tolerances": {}},
    {"tolerances.position": "0.00000001"},
    {"tolerances.orderGrace": "0s"},
    {"tolerances.balances": [{"asset": "USDT", "tolerance": "0.01"}, {"asset": "BNB", "tolerance": "1"}]},
    {"remediation": {}},
    {"alerts": {}},
    {"alerts": {"mismatchNotional": "0.5"}},
    {"alerts": {"mismatchNotional": "1000"}},
    {"remediation": {"mode": "Pause", "pauseAt": "never"}},
    {"remediation": {"mode": "Enforce"}},
    {"remediation": {"mode": "Enforce", "repairBotState": False, "dryRun": True, "flattenBy": "Market"}},
    {"remediation": {"unexpectedPositions": "Plan"}},
    {"remediation": {"mode": "Pause", "unexpectedPositions": "Flatten", "limits": LIMITS}},
    {"remediation": {"unexpectedOrders": "Plan"}, "bot.orderIdPrefix": "g"},
    {"remediation": {"mode": "Enforce", "unexpectedPositions": "Plan"}, "credentials.trade": TRADE},
    {"remediation": {"limits": {}}},
    {"remediation": {"limits": {"actionsPerHour": 1, "notionalPerAction": "0.01"}}},
    {"remediation": {"limits": {"actionsPerHour": 100, "notionalPerHour": "1"}}},
    *[{"remediation": {"maxSlippage": text}} for text in ("0.1", "0.10", "0.000000000000000001", "0.0999")],
    *[{"remediation": {"planExpiry": text}} for text in ("1m", "60s", "24h", "1h30m")],
    {"remediation": {"orderIdPrefixes": ["a.B:/_-9", "x" * 36, *[f"p{n}" for n in range(8)]]}},
    {"remediation": {"thresholds": [{"rule": "MissingOrder"}, {"rule": "UnexpectedOrder", "count": 3, "age": "1m"}]}},
    {"credentials.trade": TRADE, "credentials.excessRights": "Refuse"},
    ACTING,
    {"bot.state": {"http": {"service": SERVICE, "repairPath": "/api/repair?dry=0"}}},
    {"bot.state": {"http": {"url": "https://bot.example.com:8443/state", "repairPath": "/repair"}}},
    {"bot.state": {"freqtrade": FREQTRADE}},
    {"bot.state": {"freqtrade": {"url": "https://bot.example.com/ft", "secretRef": {"name": "bot"}}}},
    {"bot.state": {"postgres": LEDGER}},
    {"bot.state": {"postgres": LEDGER | {"schema": "ledger_2", "parity": {"enabled": False, "fillGrace": "0s"}}}},
    {"bot.gate": {}},
    *[{"bot.gate": {"failClosedAfter": text}} for text in ("3s", "60m")],
    {"bot.pauseAllowance": "0s"},
    {"watchdog": {"allocatedCapital": "10000", "currency": "USDT"}},
    {"watchdog": {"allocatedCapital": "0.5", "currency": "USDC", "maxMismatchRatio": "1.5", "autoResume": {}}},
    {"watchdog": {"allocatedCapital": "1", "currency": "USD", "autoResume": {"enabled": False, "minPause": "0s"}}},
    {"pauseLevel": "Halt"},
    {"paused": True, "pauseReason": "x" * 256, "suspend": True},
]


FULL = changed(
    {
        "exchange": {
            "id": "binanceusdm",
            "sandbox": True,
            "endpoint": "http://127.0.0.1:8900",
            "symbols": ["BTCUSDT"],
            "sharedAccount": "desk-1",
        },
        "interval": "15s",
        "timeout": "10s",
        "staleAfter": "300s",
        "suspend": True,
        "paused": True,
        "pauseReason": "maintenance",
        "pauseLevel": "Halt",
        "bot": {
            "state": {
                "http": {
                    "service": SERVICE | {"path": "/s", "scheme": "https"},
                    "secretRef": {"name": "token"},
                    "repairPath": "/r",
                }
            },
            "orderIdPrefix": "grinder_",
            "staleAfter": "60s",
            "gate": {"failClosedAfter": "30s"},
            "pauseAllowance": "20s",
        },
        "tolerances": {
            "position": "0.001",
            "orderGrace": "5s",
            "confirmations": 3,
            "balances": [{"asset": asset, "tolerance": "0.01"} for asset in ("USDT", "BNB", "BTC")],
        },
        "ignore": [
            {
                "rule": "UnexpectedOrder",
                "symbol": "BTCUSDT",
                "id": "42",
                "until": "2026-12-24T12:00:00Z",
                "reason": "placed by hand",
            }
        ],
        "remediation": ALONE
        | {
            "pauseAt": "medium",
            "dryRun": True,
            "repairBotState": False,
            "orderIdPrefixes": ["old_", "older_"],
            "flattenBy": "Market",
            "maxSlippage": "0.01",
            "planExpiry": "30m",
            "thresholds": [{"rule": "UnexpectedOrder", "count": 3, "notional": "10", "age": "1m"}],
        },
        "credentials.trade": TRADE,
        "credentials.excessRights": "Refuse",
        "watchdog": {
            "allocatedCapital": "10000",
            "currency": "USDT",
            "maxMismatchRatio": "0.25",
            "autoResume": {"enabled": False, "minPause": "10m", "cleanCycles": 3, "cooldown": "1h"},
        },
        "evidence": True,
    }
)
"""A spec that sets every field."""


class Cluster:
    """Our objects in a namespace of a real API server."""

    def __init__(self, control_plane: ControlPlane, namespace: str) -> None:
        self.control_plane = control_plane
        self.namespace = namespace
        control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
        control_plane.kubectl("wait", "--for=condition=Established", f"crd/{CRD}", f"crd/{PLAN_CRD}", "--timeout=30s")
        control_plane.kubectl("create", "namespace", namespace)

    def kubectl(self, *arguments: str, stdin: dict[str, Any] | None = None) -> str:
        return self.control_plane.kubectl(
            "--namespace", self.namespace, *arguments, input=None if stdin is None else json.dumps(stdin)
        )

    def body(self, name: str, spec: dict[str, Any] | None = None) -> dict[str, Any]:
        body = account(name, spec)
        return body | {"metadata": {"name": name, "namespace": self.namespace}}

    def create(self, name: str, spec: dict[str, Any] | None = None, *options: str) -> str:
        return self.kubectl("create", *options, "-f", "-", stdin=self.body(name, MINIMAL if spec is None else spec))

    def get(self, name: str, *options: str) -> dict[str, Any]:
        return dict(json.loads(self.kubectl("get", "ta", name, "-o", "json", *options)))

    def patch(self, name: str, patch: dict[str, Any], *options: str) -> str:
        return self.kubectl("patch", "ta", name, "--type=merge", "-p", json.dumps(patch), *options)

    def apply_status(self, name: str, status: dict[str, Any]) -> None:
        self.kubectl(
            "apply",
            "--server-side",
            "--subresource=status",
            "--field-manager=accountsync",
            "-f",
            "-",
            stdin=self.body(name) | {"status": status},
        )
