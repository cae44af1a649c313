"""What kopf is told to do, over kopf's own client to an API server that answers as it is told."""

import asyncio
import itertools
import logging

import kopf
import pytest
from aiohttp import web
from kopf._cogs.clients import api, auth, errors
from kopf._cogs.structs.credentials import ConnectionInfo

from accountsync.controller import handlers
from accountsync.controller.handlers import Backoffs

LONGER_THAN_KOPF_TRIES = 40
log = logging.getLogger(__name__)


def configured() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    handlers.configure(settings)
    return settings


def test_tries_never_end_and_each_request_begins_them_anew() -> None:
    backoffs = configured().networking.error_backoffs
    assert isinstance(backoffs, Backoffs)
    first, second = (list(itertools.islice(backoffs, 5000)) for _ in range(2))
    assert first == second
    assert len(first) == 5000
    assert first[:10] == [1, 1, 2, 3, 5, 8, 13, 21, 30, 30]
    assert set(first[8:]) == {30}


async def test_an_api_server_that_fails_for_long_is_asked_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        failing = asked % LONGER_THAN_KOPF_TRIES
        return web.json_response({}, status=503 if failing else 200)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    context = auth.APIContext(ConnectionInfo(server=f"http://{host}:{port}"))
    pause = asyncio.sleep
    monkeypatch.setattr("kopf._cogs.clients.api.asyncio.sleep", lambda _: pause(0))
    try:
        for _ in range(2):
            response = await api.request("get", "/apis", settings=configured(), context=context, logger=log)
            assert response.status == 200
            response.close()
        with pytest.raises(errors.APIServerError):
            await api.request("get", "/apis", settings=kopf.OperatorSettings(), context=context, logger=log)
    finally:
        await context.close()
        await runner.cleanup()
    assert asked > 2 * LONGER_THAN_KOPF_TRIES
