"""The objects that the suite applies, besides the chart."""

import json
from datetime import UTC, datetime
from typing import Any

from tests.support.running import ROOT

Document = dict[str, Any]
SYSTEM, TRADING = "accountsync-e2e", "accountsync-e2e-trading"
NAME, DORMANT = "grid-btc", "dormant"
EXCHANGE, CONTROL = 8900, 8901
BELIEF: Document = {
    "positions": [{"symbol": "BTCUSDT", "side": "net", "quantity": "0.5"}],
    "orders": [{"clientId": "grinder_1", "symbol": "BTCUSDT", "side": "buy", "price": "58000", "quantity": "0.1"}],
    "balances": [{"asset": "USDT", "wallet": "10000"}],
}
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def namespace(name: str) -> Document:
    """Where the strictest Pod Security Standard is enforced."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def privileged_pod(image: str) -> Document:
    """What such a namespace must refuse."""
    container = {"name": "main", "image": image, "securityContext": {"privileged": True}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "privileged", "namespace": SYSTEM},
        "spec": {"containers": [container]},
    }


def exchange(image: str, pull_policy: str) -> list[Document]:
    """The simulator as a pod of the same image, and a Service before it."""
    labels = {"app": "exchange"}
    container = {
        "name": "exchange",
        "image": image,
        "imagePullPolicy": pull_policy,
        "args": [
            *("simulate", "--scenario=/scenario/exchange.yaml"),
            *("--expose", "--host=0.0.0.0", "--control-host=127.0.0.1"),
        ],
        "ports": [{"containerPort": EXCHANGE}],
        "readinessProbe": {"tcpSocket": {"port": EXCHANGE}, "periodSeconds": 1},
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": "scenario", "mountPath": "/scenario"}],
    }
    return [
        _named("ConfigMap", "exchange", data={"exchange.yaml": (ROOT / "examples" / "exchange.yaml").read_text()}),
        _named("Service", "exchange", spec={"selector": labels, "ports": [{"port": EXCHANGE}]}),
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "exchange", "namespace": TRADING, "labels": labels},
            "spec": {
                "automountServiceAccountToken": False,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [container],
                "volumes": [{"name": "scenario", "configMap": {"name": "exchange"}}],
            },
        },
    ]


def account(endpoint: str) -> list[Document]:
    """The watched account, its key and its first belief; beside it a suspended account, which stands still."""
    now = datetime.now(UTC).isoformat()
    state = {"version": 1, "asOf": now, "bootId": "e2e", "ready": True, **BELIEF}
    use = "accountsync.dev/use"
    return [
        _named(
            "Secret",
            "grid-btc-read",
            labels={use: "exchange-read"},
            stringData={"apiKey": "demo-read-key", "secret": "demo-read-secret"},
        ),
        _named("ConfigMap", "grid-btc-state", labels={use: "bot-state"}, data={"state.json": json.dumps(state)}),
        trading_account(NAME, endpoint),
        trading_account(DORMANT, endpoint, suspend=True),
    ]


def trading_account(name: str, endpoint: str, **more: object) -> Document:
    """A TradingAccount that pauses its bot."""
    spec = {
        "exchange": {"id": "binanceusdm", "endpoint": endpoint},
        "credentials": {"read": {"secretRef": {"name": "grid-btc-read"}}},
        "interval": "5s",
        "bot": {"state": {"configMap": {"name": "grid-btc-state"}}, "orderIdPrefix": "grinder_"},
        "remediation": {"mode": "Pause"},
        "evidence": True,
        **more,
    }
    return {**_named("TradingAccount", name, spec=spec), "apiVersion": "accountsync.dev/v1alpha1"}


def values(cluster_image: str, pull_policy: str, endpoint: str) -> Document:
    """Of the chart."""
    repository, _, tag = cluster_image.rpartition(":")
    return {
        "image": {"repository": repository, "tag": tag, "pullPolicy": pull_policy},
        "allowedEndpoints": [endpoint],
        "rbac": {"tenantNamespaces": [TRADING]},
    }


def _named(kind: str, name: str, labels: dict[str, str] | None = None, **rest: object) -> Document:
    metadata = {"name": name, "namespace": TRADING, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **rest}
