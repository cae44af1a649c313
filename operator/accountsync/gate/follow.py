"""The two objects that a gate follows, told to its keeper."""

from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Final

from accountsync.clock import elapsed
from accountsync.gate.heartbeat import GROUP, heartbeat_name
from accountsync.gate.keeper import Keeper
from accountsync.gate.kube import CALL, Following, Kube

ACCOUNTS: Final = f"/apis/{GROUP}/v1alpha1/namespaces/%s/tradingaccounts"
LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/%s/leases"
ACCOUNT_SHARE: Final = 1 / 3
"""Of failClosedAfter: silence for longer is broken by asking. An account may be silent for as long as it likes."""
HEARTBEAT_SHARE: Final = 1 / 2
"""The same; a heartbeat comes more than once in it."""
CALL_SHARE: Final = 1 / 12
"""Of failClosedAfter: one listing takes no longer, so that one that hangs leaves time for others."""
LEAST: Final = 1.0
"""Seconds of each."""
Body = Mapping[str, Any]


def followed(kube: Kube, keeper: Keeper) -> tuple[Following, Following]:
    """The account and its heartbeat; the latter is read anew when the keeper wants it."""

    def part(share: float, most: float = inf) -> Callable[[], float]:
        return lambda: min(most, max(LEAST, keeper.fail_closed_after * share))

    account, heartbeat = (
        Following(
            kube,
            path % keeper.namespace,
            name,
            follower,
            now=elapsed,
            silence=part(share),
            patience=part(CALL_SHARE, CALL),
        )
        for path, name, follower, share in (
            (ACCOUNTS, keeper.name, _Account(keeper), ACCOUNT_SHARE),
            (LEASES, heartbeat_name(keeper.name), _Heartbeat(keeper), HEARTBEAT_SHARE),
        )
    )
    keeper.wants_reading = heartbeat.read_again
    return account, heartbeat


class _Account:
    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def read(self, body: Body | None, at: float) -> None:
        if body is None:
            self._keeper.account_is_gone(at)
        else:
            self._keeper.account_is(body, at)

    def changed(self, body: Body, at: float) -> None:
        self._keeper.account_is(body, at)

    def deleted(self, body: Body, at: float) -> None:
        self._keeper.account_is_gone(at, body)

    def heard(self, at: float) -> None:
        self._keeper.account_is_unchanged(at)

    def failed(self, why: str) -> None:
        self._keeper.troubled("account", why)


class _Heartbeat:
    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def read(self, body: Body | None, at: float) -> None:
        self._keeper.heartbeat_read(body, at)

    def changed(self, body: Body, at: float) -> None:  # noqa: ARG002 - a change counts from when it arrives
        self._keeper.heartbeat_changed(body)

    def deleted(self, body: Body, at: float) -> None:
        """A deleted heartbeat is none: it ages."""

    def heard(self, at: float) -> None:
        """A bookmark is no beat."""

    def failed(self, why: str) -> None:
        self._keeper.troubled("heartbeat", why)
