"""What the operator does while it can't follow accounts: no API server, a Role that is taken back, no CRD."""

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
import urllib.error
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from tests.operator.test_roles import LEASES, OWN, RBAC, READ, grant, service_account
from tests.support.controlplane import ControlPlane
from tests.support.running import ROOT, Operator, until
from tests.support.stage import HttpBot, Stage, install, open_account

from accountsync.simulator.thread import SimulatorThread

pytestmark = [pytest.mark.cluster]

DOWN_FOR = 12


class Door:
    """A way to the API server over HTTP that answers 503 to everything while it is shut."""

    def __init__(self, plane: ControlPlane) -> None:
        self.shut = True
        self.turned_away = 0
        outer = self
        context = ssl.create_default_context(cafile=str(plane.ca_file))
        host = plane.url.removeprefix("https://")

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                if outer.shut:
                    outer.turned_away += 1
                    self.send_error(503)
                    return
                length = int(self.headers.get("Content-Length", 0))
                back = http.client.HTTPSConnection(host, context=context, timeout=400)
                headers = {k: v for k, v in self.headers.items() if k.lower() not in {"host", "accept-encoding"}}
                outer._backs.append(back)
                back.request(self.command, self.path, self.rfile.read(length) if length else None, headers)
                answer = back.getresponse()
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.getheader("Content-Type", ""))
                self.end_headers()
                self.close_connection = True
                with contextlib.suppress(OSError, http.client.HTTPException, ValueError):  # one of both has gone
                    while piece := answer.read1():
                        self.wfile.write(piece)
                        self.wfile.flush()
                answer.close()
                back.close()

            do_GET = do_POST = do_PATCH = _serve  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                return

        self._backs: list[http.client.HTTPSConnection] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextlib.contextmanager
    def open_for_business(self) -> Iterator[None]:
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            for back in self._backs:
                if back.sock is not None:
                    with contextlib.suppress(OSError):
                        back.sock.shutdown(socket.SHUT_RDWR)
            self._server.server_close()
            thread.join(5)


def ready(operator: Operator) -> str:
    """Empty: it is; else why not."""
    try:
        operator.get("/readyz")
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()
    return ""


def followed(operator: Operator, namespace: str) -> float:
    return operator.metrics()[f'accountsync_namespace_followed{{namespace="{namespace}"}}']


def test_an_api_server_that_can_not_be_asked_at_the_start_is_awaited(
    cluster: ControlPlane, kubeconfig: Path, exchange: SimulatorThread, bot: HttpBot, stage: Stage, tmp_path: Path
) -> None:
    open_account(stage, exchange, bot, "one")
    door = Door(cluster)
    config = yaml.safe_load(kubeconfig.read_text())
    config["clusters"][0]["cluster"] = {"server": door.url}
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    with door.open_for_business(), Operator(tmp_path / "config", f"--namespace={stage.namespace}") as operator:
        until(lambda: "HTTP 503" in ready(operator), "word of the API server")
        assert followed(operator, stage.namespace) == 0
        assert operator.get("/livez") == "ok\n"
        time.sleep(DOWN_FOR)
        assert door.turned_away > 2
        door.shut = False
        stage.await_status("one", lambda s: s.get("sync") == "InSync", "judged account", 60)
        assert ready(operator) == ""
        assert followed(operator, stage.namespace) == 1
        door.shut = True
        time.sleep(DOWN_FOR)
        assert (ready(operator), followed(operator, stage.namespace)) == ("", 1), "what was open stays open"
        door.shut = False
        stage.annotate("one", "requestedAt", "after")
        stage.await_status("one", lambda s: s.get("lastHandledReconcileAt") == "after", "answer to a person", 90)
    stage.api("DELETE", stage.accounts)


def test_a_namespace_that_takes_its_role_back_harms_no_other_and_may_give_it_again(
    cluster: ControlPlane, exchange: SimulatorThread, bot: HttpBot
) -> None:
    home, other = (Stage(cluster, f"reach-{name}", exchange.url) for name in ("home", "other"))
    service_account(home)
    grant(home, home, [*OWN, *READ, LEASES])
    grant(other, home, OWN + READ)
    for stage in (home, other):
        open_account(stage, exchange, bot, "one")
    kubeconfig = cluster.kubeconfig_for_service_account(home.namespace, "operator")
    namespaces = {"ACCOUNTSYNC_NAMESPACES": f"{home.namespace} {other.namespace}"}
    with Operator(kubeconfig, env=namespaces) as operator:
        for stage in (home, other):
            stage.await_status("one", lambda s: s.get("sync") == "InSync", "judged account")
            assert followed(operator, stage.namespace) == 1
        role = f"{RBAC}/namespaces/{other.namespace}/roles/operator"
        rules = other.api("GET", role)["rules"]
        other.api.merge(role, {"rules": []})
        said = json.loads(operator.await_line("may not list tradingaccounts", 90))
        assert (said["namespace"], said["level"]) == (other.namespace, "error")
        assert (followed(operator, other.namespace), followed(operator, home.namespace)) == (0, 1)
        assert ready(operator) == ""
        home.annotate("one", "requestedAt", "meanwhile")
        home.await_status("one", lambda s: s.get("lastHandledReconcileAt") == "meanwhile", "answer where it may")
        other.api.merge(role, {"rules": rules})
        until(lambda: followed(operator, other.namespace) == 1, "the namespace again", 90)
        other.annotate("one", "requestedAt", "again")
        other.await_status("one", lambda s: s.get("lastHandledReconcileAt") == "again", "answer to a person", 90)
        assert operator.process.poll() is None
    for stage in (home, other):
        stage.api("DELETE", stage.accounts)


def test_without_the_crd_it_waits_until_it_is_installed(
    tmp_path: Path, exchange: SimulatorThread, bot: HttpBot
) -> None:
    with ControlPlane() as plane:
        kubeconfig = tmp_path / "config"
        kubeconfig.write_text(plane.kubeconfig.read_text())
        with Operator(kubeconfig) as operator:
            until(lambda: "install the CustomResourceDefinitions" in ready(operator), "what to install")
            install(plane)
            until(lambda: not ready(operator), "readiness", 90)
            stage = Stage(plane, "late", exchange.url)
            open_account(stage, exchange, bot, "one")
            stage.await_status("one", lambda s: s.get("sync") == "InSync", "judged account", 90)
            plane.kubectl("delete", f"--filename={ROOT / 'crds'}", "--wait=false")
            until(lambda: "install the CustomResourceDefinitions" in ready(operator), "what to install", 120)
            until(lambda: operator.metrics()["accountsync_owned_accounts"] == 0, "the end of the account", 90)
            assert operator.get("/livez") == "ok\n"
