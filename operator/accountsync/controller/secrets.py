"""Secrets that accounts name, each read again after a minute and dropped at once when it changes.

Invariants: a Secret is of the account's own namespace and carries the label that says what it is for, so that a key
of one use can't be sent to another's address. Nothing is written to disk, and no value goes into an error.
"""

from collections.abc import Mapping

from accountsync.controller.kube import FORBIDDEN, NOT_FOUND, Kube, KubeError, Secret
from accountsync.errors import AccountSyncError, ConfigurationError, Reason, Unobserved
from accountsync.ports import Clock

KEEP_SECONDS = 60.0
KEEP_THROUGH_OUTAGE = 3600.0
EXCHANGE_READ = "exchange-read"
EXCHANGE_TRADE = "exchange-trade"
BOT = "bot"


class SecretStore:
    """Reads Secrets by name; `forget` makes the next read a fresh one."""

    def __init__(self, kube: Kube, clock: Clock) -> None:
        self._kube = kube
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[float, Secret]] = {}
        self._versions: dict[tuple[str, str], str] = {}  # as last read; empty: it was not there, or is being read
        self._forgotten = 0

    def forget(self, namespace: str, name: str) -> None:
        """Drop what is kept of a Secret, and what is being read."""
        self._forgotten += 1
        self._kept.pop((namespace, name), None)

    def outdated(self, namespace: str, name: str, version: str) -> bool:
        """The Secret is of `version` now: whether something else was read of it, which is then forgotten."""
        if self._versions.get((namespace, name), version) == version:
            return False
        self.forget(namespace, name)
        return True

    async def read(self, namespace: str, name: str, use: str, field: str) -> Mapping[str, str]:
        """The entries of a Secret labelled for `use`; `field` is the path in the spec that names it.

        Raises ConfigurationError that says what to do, or Unobserved where the API server did not answer.
        """
        return self._for_use(await self._secret(namespace, name, field), namespace, name, use, field)

    async def read_once(self, namespace: str, name: str, use: str, field: str) -> Mapping[str, str]:
        """The same, read now and kept nowhere."""
        try:
            secret = await self._kube.secret(namespace, name)
        except KubeError as error:
            raise _problem(error, namespace, name, field) from None
        return self._for_use(secret, namespace, name, use, field)

    @staticmethod
    def _for_use(secret: Secret, namespace: str, name: str, use: str, field: str) -> Mapping[str, str]:
        if secret.use != use:
            raise ConfigurationError(
                Reason.SECRET_NOT_LABELLED,
                f"{field}: Secret {name} is not labelled for this use: kubectl label secret -n {namespace} {name}"
                f" accountsync.dev/use={use}",
            )
        return secret.data

    async def _secret(self, namespace: str, name: str, field: str) -> Secret:
        kept = self._kept.get((namespace, name))
        if kept is not None and self._clock.monotonic() - kept[0] < KEEP_SECONDS:
            return kept[1]
        self._versions.setdefault((namespace, name), "")
        forgotten = self._forgotten
        try:
            secret = await self._kube.secret(namespace, name)
        except KubeError as error:
            if error.status in (NOT_FOUND, FORBIDDEN):
                self.forget(namespace, name)
                self._versions[namespace, name] = ""
            elif kept is not None:
                return kept[1]
            raise _problem(error, namespace, name, field) from None
        self._versions[namespace, name] = secret.version
        if forgotten == self._forgotten:  # else it may have changed since it was sent to us
            now = self._clock.monotonic()
            self._kept = {key: kept for key, kept in self._kept.items() if now - kept[0] < KEEP_THROUGH_OUTAGE}
            self._kept[namespace, name] = (now, secret)
        return secret


def _problem(error: KubeError, namespace: str, name: str, field: str) -> AccountSyncError:
    if error.status == NOT_FOUND:
        return ConfigurationError(
            Reason.SECRET_NOT_FOUND, f"{field}: there is no Secret {name} in namespace {namespace}: create it"
        )
    if error.status == FORBIDDEN:
        return ConfigurationError(
            Reason.SECRET_FORBIDDEN,
            f'{field}: the operator may not get secrets "{name}" in namespace "{namespace}":'
            " bind ClusterRole accountsync-tenant there, or grant get on this Secret",
        )
    return Unobserved(Reason.API_SERVER_UNAVAILABLE, f"{field}: the API server did not answer")
