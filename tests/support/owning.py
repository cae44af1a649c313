"""Stand-ins for Leases: an API server that keeps them, and a claim on an account that nobody else wants."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, cast

from accountsync.controller.kube import CONFLICT, NOT_FOUND, KubeError
from accountsync.controller.ownership import Owner, Replica

Body = dict[str, Any]


class FakeLeases:
    """An API server. `failing`: the HTTP status with which each call by these verbs is refused."""

    def __init__(self) -> None:
        self.stored: dict[str, Body] = {}
        self.failing: dict[str, int] = {}
        self.lost_answers = 0
        """How many of the next writes are done, and not answered."""
        self.meanwhile: Callable[[], None] = lambda: None
        """What happens while Leases are listed."""
        self._version = 0

    def _may(self, verb: str) -> None:
        if verb in self.failing:
            raise KubeError(self.failing[verb], verb)

    def _named(self, name: str) -> Body:
        if name not in self.stored:
            raise KubeError(NOT_FOUND, name)
        return self.stored[name]

    async def lease(self, _namespace: str, name: str) -> Body:
        self._may("get")
        return copy.deepcopy(self._named(name))

    async def leases(self, _namespace: str, selector: str) -> list[Body]:
        self._may("list")
        self.meanwhile()
        wanted = dict(pair.split("=") for pair in selector.split(","))
        return [
            copy.deepcopy(row) for row in self.stored.values() if wanted.items() <= row["metadata"]["labels"].items()
        ]

    async def write_lease(self, _namespace: str, name: str, body: Mapping[str, Any]) -> Body:
        version = body["metadata"].get("resourceVersion")
        self._may("update" if version else "create")
        if version is None and name in self.stored:
            raise KubeError(CONFLICT, name)
        if version is not None and self._named(name)["metadata"]["resourceVersion"] != version:
            raise KubeError(CONFLICT, name)
        self._version += 1
        self.stored[name] = copy.deepcopy(dict(body))
        self.stored[name]["metadata"]["resourceVersion"] = str(self._version)
        if self.lost_answers:
            self.lost_answers -= 1
            raise KubeError(0, name)
        return copy.deepcopy(self.stored[name])

    async def delete_lease(self, _namespace: str, name: str, version: str) -> None:
        self._may("delete")
        if self._named(name)["metadata"]["resourceVersion"] != version:
            raise KubeError(CONFLICT, name)
        del self.stored[name]


class _Alone:
    """A replica without others, whose Lease never ends."""

    class own:  # noqa: N801 - stands for the attribute
        identity = "alone"

    @staticmethod
    def now() -> float:
        return 0.0

    @staticmethod
    def left() -> float:
        return 15.0

    @staticmethod
    def quarantine() -> float:
        return 0.0


def sole_owner(body: Mapping[str, Any]) -> Owner:
    """A claim on the account of `body`, by the only replica there is."""
    return Owner(cast("Replica", _Alone), body, lambda: True)
