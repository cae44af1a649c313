"""The calls to the API server, over HTTP to one that answers as it is told."""

import base64
import json
import threading
from collections import deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from accountsync.controller import kube as module
from accountsync.controller.handlers import in_cluster_server
from accountsync.controller.kube import Change, Kube, KubeError

SECRET = {
    "metadata": {"labels": {"accountsync.dev/use": "bot"}, "resourceVersion": "7"},
    "data": {"token": base64.b64encode(b"value").decode(), "odd": base64.b64encode(bytes([255])).decode()},
}


class ApiServer:
    """Answers each request with the next of `answers` (status, body), and remembers it."""

    def __init__(self) -> None:
        self.answers: deque[tuple[int, Any]] = deque()
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                sent = json.loads(self.rfile.read(length)) if length else None
                outer.requests.append(
                    (self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, sent)
                )
                status, body = outer.answers.popleft()
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = do_PATCH = _serve  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    monkeypatch.setattr(module, "GRANTED_AFTER", 0)
    with ApiServer() as running:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": running.url}}],
            "users": [{"name": "test", "user": {"token": "t0ken"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        monkeypatch.setattr("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
        yield running


async def test_a_secret_is_asked_for_by_name_and_decoded(server: ApiServer) -> None:
    server.answers.append((200, SECRET))
    async with Kube() as kube:
        secret = await kube.secret("trading", "a/../b")
    assert (secret.use, dict(secret.data), secret.version) == ("bot", {"token": "value"}, "7")
    (method, path, headers, _) = server.requests[0]
    assert (method, path) == ("GET", "/api/v1/namespaces/trading/secrets/a%2F..%2Fb")
    assert headers["authorization"] == "Bearer t0ken"


async def test_the_first_refusal_is_asked_again_and_the_next_one_is_not(server: ApiServer) -> None:
    server.answers += [(403, {}), (200, SECRET), (403, {}), (403, {}), (403, {})]
    async with Kube() as kube:
        await kube.secret("trading", "one")
        for _ in range(2):
            with pytest.raises(KubeError, match="HTTP 403"):
                await kube.secret("trading", "one")
    assert len(server.requests) == 5, "two, two and one"


async def test_what_was_refused_is_remembered_of_a_bounded_number(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFUSED_CAP", 2)
    async with Kube() as kube:
        for name in ("one", "two", "three", "one"):
            server.answers += [(403, {}), (403, {})]
            with pytest.raises(KubeError, match="HTTP 403"):
                await kube.secret("trading", name)
        assert len(kube._refused) == 2
    assert len(server.requests) == 8, "the oldest is forgotten, and asked twice again"


@pytest.mark.parametrize(("answer", "status"), [((404, {}), 404), ((500, b"oops"), 500), ((200, b"no json"), 0)])
async def test_what_is_no_answer_is_an_error_that_quotes_nothing_of_it(
    server: ApiServer, answer: tuple[int, Any], status: int
) -> None:
    server.answers.append(answer)
    async with Kube() as kube:
        with pytest.raises(KubeError) as error:
            await kube.configmap("trading", "state")
    assert error.value.status == status
    assert "oops" not in str(error.value)
    assert "no json" not in str(error.value)


async def test_a_status_is_applied_as_a_whole(server: ApiServer) -> None:
    server.answers.append((200, {"metadata": {"resourceVersion": "9"}}))
    async with Kube() as kube:
        await kube.apply_status("trading", "alpha", "8", {"paused": True})
    (method, path, headers, body) = server.requests[0]
    assert method == "PATCH"
    assert path == (
        "/apis/accountsync.dev/v1alpha1/namespaces/trading/tradingaccounts/alpha/status"
        "?fieldManager=accountsync&force=true"
    )
    assert headers["content-type"] == "application/apply-patch+yaml"
    assert body["metadata"] == {"name": "alpha", "namespace": "trading", "resourceVersion": "8"}


async def test_a_right_is_asked_for_with_its_subresource(server: ApiServer) -> None:
    server.answers += [(201, {"status": {"allowed": allowed}}) for allowed in (True, False)]
    async with Kube() as kube:
        assert await kube.may("patch", "accountsync.dev", "tradingaccounts/status", "trading")
        assert not await kube.may("watch", "", "secrets", "trading")
    about = server.requests[0][3]["spec"]["resourceAttributes"]
    assert (about["resource"], about["subresource"], about["verb"]) == ("tradingaccounts", "status", "patch")


@pytest.mark.parametrize(("namespace", "root"), [("", "tradingaccounts"), ("a", "namespaces/a/tradingaccounts")])
async def test_accounts_are_followed_where_they_are_looked_after(server: ApiServer, namespace: str, root: str) -> None:
    server.answers += [(200, {"metadata": {"resourceVersion": "7"}, "items": []}), (403, {})]
    async with Kube() as kube:
        version = await kube.list_accounts(namespace)
        with pytest.raises(KubeError) as error:
            await kube.watch_accounts(namespace, version)
    assert error.value.status == 403
    paths = [path for _, path, _, _ in server.requests]
    assert paths[0] == f"/apis/accountsync.dev/v1alpha1/{root}?limit=1"
    assert paths[1].startswith(f"/apis/accountsync.dev/v1alpha1/{root}?watch=true")
    assert paths[1].endswith("&resourceVersion=7"), "not all that there are"


async def test_a_watch_says_first_that_it_is_open(server: ApiServer) -> None:
    event = {"type": "ADDED", "object": {"metadata": {"name": "one-read", "resourceVersion": "5"}}}
    server.answers.append((200, json.dumps(event).encode() + b"\n"))
    async with Kube() as kube:
        changes = [change async for change in kube.changes("secrets", "trading", "a in (b, c)", "4")]
    assert changes == [Change("", "4"), Change("one-read", "5")]
    query = parse_qs(urlsplit(server.requests[0][1]).query)
    assert (query["labelSelector"], query["resourceVersion"]) == (["a in (b, c)"], ["4"])
    assert "PartialObjectMetadata" in server.requests[0][2]["accept"]


@pytest.mark.parametrize(
    ("host", "port", "server"),
    [("10.0.0.1", "443", "https://10.0.0.1:443"), ("fd00::1", "6443", "https://[fd00::1]:6443"), ("", "", "")],
)
def test_in_a_pod_the_api_server_is_found_without_dns(host: str, port: str, server: str) -> None:
    assert in_cluster_server({"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}) == server
