"""A namespace of its own on the real API server, with accounts, Secrets and beliefs, to test a running operator."""

import json
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import yaml
from examples.publish_state import mended, now
from tests.support.controlplane import ControlPlane
from tests.support.running import ROOT, until

from accountsync.controller.approvals import SENTENCE, TRIAL
from accountsync.simulator import ApiKey, Simulator
from accountsync.simulator.thread import SimulatorThread

GROUP = "/apis/accountsync.dev/v1alpha1"
EVENTS = "/apis/events.k8s.io/v1"
ADMIN = "admin"
Body = dict[str, Any]


class ApiError(RuntimeError):
    """The API server refused; `status` is its HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"HTTP {status}: {text}")
        self.status = status


class Api:
    """The API server over plain HTTP requests: a hundred times cheaper than a kubectl each."""

    def __init__(self, plane: ControlPlane) -> None:
        self._url = plane.url
        self._token = plane.admin_token
        context = ssl.create_default_context(cafile=str(plane.ca_file))
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def __call__(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Body:
        request = urllib.request.Request(
            self._url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": content_type},
        )
        try:
            with self._opener.open(request, timeout=20) as response:
                answer: Body = json.loads(response.read())
                return answer
        except urllib.error.HTTPError as error:
            with error:
                raise ApiError(error.code, error.read()[:600].decode(errors="replace")) from None

    def merge(self, path: str, patch: object) -> Body:
        return self("PATCH", path, patch, "application/merge-patch+json")

    def apply(self, path: str, body: object) -> Body:
        return self("PATCH", f"{path}?fieldManager=test&force=true", body, "application/apply-patch+yaml")


def permissions() -> list[Body]:
    """The documents of deploy/install.yaml that say who the operator is and what it may do: all that works here."""
    kinds = {
        *("Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
        *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
    }
    documents = yaml.safe_load_all((ROOT / "deploy" / "install.yaml").read_text())
    return [document for document in documents if document["kind"] in kinds]


def install(plane: ControlPlane) -> None:
    """CRDs and the operator's own RBAC."""
    plane.kubectl("apply", "--server-side", f"--filename={ROOT / 'crds'}")
    until(lambda: plane.kubectl("get", "--raw", f"{GROUP}/tradingaccounts", check=False), "an established CRD")
    plane.kubectl("apply", "--filename=-", input=yaml.safe_dump_all(permissions()))
    until(lambda: _refuses_born_approved(plane), "an admission policy in force")


def _refuses_born_approved(plane: ControlPlane) -> bool:
    trial = f"{GROUP}/namespaces/default/remediationplans?dryRun=All"
    try:
        Api(plane)("POST", trial, TRIAL)
    except ApiError as error:
        return SENTENCE in str(error)
    return False


def belief(
    *,
    positions: Any = (),
    orders: Any = (),
    balances: Any = None,
    age: float = 0,
    boot_id: str = "b1",
    ready: bool = True,
) -> Body:
    """A bot's state as of `age` seconds ago. Positions: (symbol, quantity) pairs."""
    as_of = datetime.now(UTC) - timedelta(seconds=age)
    state: Body = {
        "version": 1,
        "asOf": as_of.isoformat(timespec="milliseconds"),
        "bootId": boot_id,
        "ready": ready,
        "positions": [{"symbol": symbol, "quantity": quantity} for symbol, quantity in positions],
        "orders": list(orders),
    }
    if balances is not None:
        state["balances"] = balances
    return state


class Stage:
    """One namespace. `simulator_url`: where accounts' endpoints point."""

    def __init__(self, plane: ControlPlane, namespace: str, simulator_url: str) -> None:
        self.plane = plane
        self.api = Api(plane)
        self.namespace = namespace
        self.simulator_url = simulator_url
        self.api("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        self.api(
            "POST",
            f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
            {
                "metadata": {"name": "accountsync"},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": "accountsync-tenant",
                },
                "subjects": [{"kind": "ServiceAccount", "name": "accountsync", "namespace": "accountsync"}],
            },
        )

    @property
    def accounts(self) -> str:
        return f"{GROUP}/namespaces/{self.namespace}/tradingaccounts"

    def secret(self, name: str, data: Mapping[str, str], use: str | None = "exchange-read") -> None:
        labels = {"accountsync.dev/use": use} if use else {}
        self.api.apply(
            f"/api/v1/namespaces/{self.namespace}/secrets/{name}",
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "labels": labels},
                "stringData": dict(data),
            },
        )

    def configmap(self, name: str, data: Mapping[str, str], *, labelled: bool = True) -> None:
        labels = {"accountsync.dev/use": "bot-state"} if labelled else {}
        self.api.apply(
            f"/api/v1/namespaces/{self.namespace}/configmaps/{name}",
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": dict(data)},
        )

    def account(
        self,
        name: str,
        *,
        state: Body,
        secret: str | None = None,
        mode: str = "Pause",
        interval: str = "1s",
        **spec: Any,
    ) -> Body:
        """Create a TradingAccount; `spec` replaces top-level fields of a short, quick default."""
        return self.api(
            "POST",
            self.accounts,
            {
                "apiVersion": "accountsync.dev/v1alpha1",
                "kind": "TradingAccount",
                "metadata": {"name": name},
                "spec": {
                    "exchange": {"id": "binanceusdm", "endpoint": self.simulator_url},
                    "credentials": {"read": {"secretRef": {"name": secret or f"{name}-read"}}},
                    "interval": interval,
                    "bot": {"state": state, "orderIdPrefix": "grinder_"},
                    "tolerances": {"orderGrace": "1s"},
                    "remediation": {"mode": mode},
                    **spec,
                },
            },
        )

    @property
    def plans(self) -> list[Body]:
        """The RemediationPlans of the namespace, oldest first."""
        listed = self.api("GET", f"{GROUP}/namespaces/{self.namespace}/remediationplans")["items"]
        return sorted(listed, key=lambda plan: int(plan["metadata"]["resourceVersion"]))

    def approve(self, plan: Body) -> Body:
        path = f"{GROUP}/namespaces/{self.namespace}/remediationplans/{plan['metadata']['name']}"
        return self.api.merge(path, {"spec": {"approved": True}})

    def get(self, name: str) -> Body:
        return self.api("GET", f"{self.accounts}/{name}")

    def status(self, name: str) -> Body:
        status: Body = self.get(name).get("status", {})
        return status

    def patch(self, name: str, patch: object) -> Body:
        return self.api.merge(f"{self.accounts}/{name}", patch)

    def annotate(self, name: str, key: str, value: str) -> Body:
        notes = {f"accountsync.dev/{key}": value}
        if key == "resume":
            notes["accountsync.dev/resumed-by"] = ADMIN
        return self.patch(name, {"metadata": {"annotations": notes}})

    def await_status(self, name: str, holds: Callable[[Body], object], what: str, timeout: float = 30) -> Body:
        def fits() -> Body | None:
            status = self.status(name)
            return status if holds(status) else None

        try:
            return until(fits, what, timeout)
        except TimeoutError as error:
            raise AssertionError(f"{error}; the status is {json.dumps(self.status(name), indent=1)}") from None

    def condition(self, name: str, kind: str) -> Body:
        """The condition of this type; empty where there is none."""
        return find_condition(self.status(name), kind)

    def events(self, name: str) -> list[Body]:
        """The Events about an account, oldest first."""
        listed = self.api("GET", f"{EVENTS}/namespaces/{self.namespace}/events")["items"]
        rows = [row for row in listed if row["regarding"]["name"] == name]
        return sorted(rows, key=lambda row: str(row["eventTime"]))


def find_condition(status: Body, kind: str) -> Body:
    return next((row for row in status.get("conditions", ()) if row["type"] == kind), {})


class HttpBot:
    """A bot's /state on loopback: `beliefs` maps a path to a document or to a callable that makes one.

    A `bytes` document is sent as it is; a (status, bytes) pair with that status. What is posted to `/repair` and one of
    these paths is kept in `told`, by its repair id, and mends that belief.
    """

    def __init__(self) -> None:
        self.beliefs: dict[str, Any] = {}
        self.told: dict[str, Body] = {}
        self._mended: dict[str, str] = {}
        bot = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.answer(bot.beliefs.get(self.path))

            def do_POST(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.answer(bot.mend(self.path.removeprefix("/repair"), told))

            def answer(self, document: Any) -> None:
                if callable(document):
                    document = document()
                status = 200
                if isinstance(document, tuple):
                    status, document = document
                if document is None:
                    status, document = 404, b""
                raw = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def mend(self, path: str, told: Body) -> Any:
        """The answer to a repair of the belief at `path`, which is right, and fresh, from then on."""
        believed = self.beliefs.get(path)
        state = believed() if callable(believed) else believed
        if not isinstance(state, dict):
            return None
        if told["repairId"] not in self.told:
            quoted = told["belief"]
            if quoted.get("bootId") != state.get("bootId") or quoted["asOf"] < self._mended.get(path, ""):
                return 409, b""
            right = mended(state, told["repairs"])
            self.told[told["repairId"]] = told
            self._mended[path] = now()
            self.beliefs[path] = lambda: {**right, "asOf": now()}
        return {"applied": list(range(len(told["repairs"])))}

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def open_account(stage: Stage, exchange: SimulatorThread, bot: HttpBot, name: str, /, **spec: Any) -> str:
    """An account on the exchange with 0.5 BTC, a Secret, a bot that agrees, and the TradingAccount."""
    full = f"{stage.namespace}-{name}"

    def create(sim: Simulator) -> ApiKey:
        account = sim.world.create_account(full, wallet={"USDT": Decimal(10_000)})
        sim.world.set_position(account, "BTCUSDT", Decimal("0.5"), entry_price=Decimal(60_000))
        return sim.world.create_key(account, permissions=("read",))

    key = exchange.call(create)
    stage.secret(f"{name}-read", {"apiKey": key.api_key, "secret": key.secret})
    bot.beliefs[f"/{full}"] = lambda: belief(positions=[("BTCUSDT", "0.5")])
    stage.account(name, **{"state": {"http": {"url": f"{bot.url}/{full}"}}, **spec})
    return full
