"""A bot's belief, read from a ConfigMap that the bot writes.

In:  a function that reads the ConfigMap's data. Out: `ExpectedState`, or why there is none.
"""

from collections.abc import Awaitable, Callable, Mapping

from accountsync.bot.state import parse_state
from accountsync.domain.expected import ExpectedState
from accountsync.errors import BeliefUnobserved, Reason

ReadConfigMap = Callable[[], Awaitable[Mapping[str, str] | None]]


class ConfigMapState:
    """The belief under `key` of a ConfigMap. `read` gives its data, None if there is no such ConfigMap.

    `read` may raise BeliefUnobserved itself, where the API server refuses or fails.
    """

    def __init__(self, read: ReadConfigMap, *, namespace: str, name: str, key: str) -> None:
        self._read = read
        self._source = f"ConfigMap {namespace}/{name}"
        self._key = key

    async def read(self) -> ExpectedState:
        """Read the ConfigMap. Raises BeliefUnobserved."""
        data = await self._read()
        if data is None:
            raise BeliefUnobserved(
                Reason.STATE_NOT_FOUND,
                f"{self._source}: not found; its key {self._key} was expected to hold the bot's state: let the bot"
                " publish it there (docs/state.md), or correct spec.bot.state.configMap.name",
            )
        if self._key not in data:
            raise BeliefUnobserved(
                Reason.STATE_NOT_FOUND,
                f"{self._source}: has no key {self._key}: let the bot write its state there (docs/state.md), or"
                " correct spec.bot.state.configMap.key",
            )
        raw = data[self._key].encode(errors="surrogatepass")
        return parse_state(raw, source=f"{self._source} key {self._key}")
