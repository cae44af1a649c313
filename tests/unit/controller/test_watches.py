"""Watches of Secrets and ConfigMaps: what breaks one off costs promptness, and never the watch itself."""

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

import pytest
from structlog.testing import capture_logs

from accountsync.controller import watches
from accountsync.controller.kube import Change, Kube
from accountsync.controller.rights import Rights
from accountsync.controller.watches import SECRETS, Place, Watches


class Cluster:
    """Tells of one Secret each time a watch is opened."""

    def __init__(self) -> None:
        self.opened = 0

    async def changes(self, _plural: str, _namespace: str, _selector: str, since: str) -> AsyncGenerator[Change, None]:
        self.opened += 1
        yield Change("", since)
        yield Change(f"secret-{self.opened}", str(self.opened))

    async def may(self, *_: str) -> bool:
        return True


async def test_an_error_over_one_object_is_logged_by_its_place_and_the_watch_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watches, "FIRST_PAUSE", 0)
    heard = asyncio.Event()
    cluster = Cluster()

    def told(_namespace: str, name: str, _version: str) -> None:
        if name == "secret-1":
            raise ValueError("s3cret")
        heard.set()

    kube = cast("Kube", cluster)
    kept = Watches(kube, Rights(cluster), {SECRETS: told})
    with capture_logs() as lines:
        kept.follow("u-1", frozenset({Place(SECRETS, "trading")}))
        async with asyncio.timeout(10):
            await heard.wait()
        await kept.close()
    (line,) = lines
    assert (line["error"], line["plural"], line["namespace"]) == ("ValueError", SECRETS, "trading")
    assert line["at"].startswith("told:")
    assert "s3cret" not in str(line)
