"""How an operator process is set up: from the environment, so that `kopf run` and `accountsync operator` agree."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

TRUTHY = frozenset({"1", "true", "yes", "on"})
FALSY = frozenset({"0", "false", "no", "off"})
SHORTEST_LEASE, LONGEST_LEASE = 2, 300


@dataclass(frozen=True, slots=True)
class Settings:
    """`namespaces` empty: the whole cluster. `port` 0: any free one. `sync_enabled` False switches all syncing off.

    `evidence`: of every account, whatever its spec says. It goes to `artifact_dir`/account_sync; at most
    `evidence_keep` bundles are kept, of together `evidence_max_bytes`. `identity`: of this replica; empty: a new one
    for each process. `own_namespace`: where its Lease is; empty: where the pod or the kubeconfig says.
    `lease_duration`: seconds.
    """

    namespaces: tuple[str, ...] = ()
    host: str = "0.0.0.0"  # noqa: S104 - a pod's probes and Prometheus come from outside
    port: int = 9090
    allowed_endpoints: tuple[str, ...] = ()
    allowed_bot_urls: tuple[str, ...] = ()
    watch_secrets: bool = True
    watch_configmaps: bool = True
    max_concurrent: int = 512
    sync_enabled: bool = True
    evidence: bool = False
    artifact_dir: str = ".artifacts"
    evidence_keep: int = 1000
    evidence_max_bytes: int = 256 * 2**20
    identity: str = ""
    own_namespace: str = ""
    lease_duration: int = 15

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """Read ACCOUNTSYNC_* and the runbooks' GRINDER_*. Raises ValueError that names the variable."""

        def flag(name: str, *, default: bool) -> bool:
            text = env.get(name, "").strip().lower()
            if not text:
                return default
            if text in TRUTHY | FALSY:
                return text in TRUTHY
            raise ValueError(f"{name}: expected one of {', '.join(sorted(TRUTHY | FALSY))}")

        def words(name: str) -> tuple[str, ...]:
            return tuple(env.get(name, "").replace(",", " ").split())

        def number(name: str, default: int, low: int, high: int) -> int:
            text = env.get(name, "").strip()
            if not text:
                return default
            if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
                raise ValueError(f"{name}: expected a whole number from {low} to {high}")
            return int(text)

        return cls(
            namespaces=words("ACCOUNTSYNC_NAMESPACES"),
            host=env.get("ACCOUNTSYNC_HOST") or "0.0.0.0",  # noqa: S104
            port=number("ACCOUNTSYNC_PORT", 9090, 0, 65535),
            allowed_endpoints=words("ACCOUNTSYNC_ALLOWED_ENDPOINTS"),
            allowed_bot_urls=words("ACCOUNTSYNC_ALLOWED_BOT_URLS"),
            watch_secrets=flag("ACCOUNTSYNC_WATCH_SECRETS", default=True),
            watch_configmaps=flag("ACCOUNTSYNC_WATCH_CONFIGMAPS", default=True),
            max_concurrent=number("ACCOUNTSYNC_MAX_CONCURRENT", 512, 1, 100_000),
            sync_enabled=flag("GRINDER_ACCOUNT_SYNC_ENABLED", default=True),
            evidence=flag("GRINDER_ACCOUNT_SYNC_EVIDENCE", default=False),
            artifact_dir=env.get("GRINDER_ARTIFACT_DIR") or ".artifacts",
            evidence_keep=number("ACCOUNTSYNC_EVIDENCE_KEEP", 1000, 1, 1_000_000),
            evidence_max_bytes=number("ACCOUNTSYNC_EVIDENCE_MAX_BYTES", 256 * 2**20, 1, 2**50),
            identity=env.get("ACCOUNTSYNC_IDENTITY") or env.get("POD_NAME") or "",
            own_namespace=env.get("POD_NAMESPACE") or "",
            lease_duration=_lease_duration(env),
        )


def _lease_duration(env: Mapping[str, str]) -> int:
    text = env.get("ACCOUNTSYNC_LEASE_DURATION", "").strip() or "15s"
    found = re.fullmatch(r"([0-9]{1,3})s", text, re.ASCII)
    if found is None or not SHORTEST_LEASE <= int(found[1]) <= LONGEST_LEASE:
        raise ValueError(
            f"ACCOUNTSYNC_LEASE_DURATION: expected whole seconds from {SHORTEST_LEASE}s to {LONGEST_LEASE}s"
        )
    return int(found[1])
