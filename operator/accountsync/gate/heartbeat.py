"""The heartbeat of an account: a Lease that the operator renews and that the gate watches.

In:  the name of a TradingAccount, or the body of its Lease. Out: the Lease's name and annotations, or a `Beat`.

Invariants:
1. Operator and gate find the same Lease by the name of the account alone, whatever its length.
2. What cannot be read counts as nothing judged: a Lease that somebody else wrote opens no gate.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

GROUP: Final = "accountsync.dev"
PREFIX: Final = "accountsync-gate-"
NAME_CAP: Final = 253
"""Characters that a Lease's name may have; an account's may have as many."""
BEGUN: Final = f"{GROUP}/begun"
JUDGED: Final = f"{GROUP}/judged"
BOOT: Final = f"{GROUP}/boot"
"""Annotations of the Lease, as `Beat` says."""
NAME_LABEL: Final = "app.kubernetes.io/name"
GATE_LABEL: Final = f"{GROUP}/gate"
LABELS: Final[Mapping[str, str]] = {NAME_LABEL: "accountsync", GATE_LABEL: "true"}
SELECTOR: Final = ",".join(f"{name}={value}" for name, value in LABELS.items())
_DIGEST: Final = 10
_COUNT: Final = re.compile(r"[0-9]{1,18}")


def heartbeat_name(account: str) -> str:
    """The Lease of the account called `account`, in the account's namespace."""
    name = PREFIX + account
    if len(name) <= NAME_CAP:
        return name
    digest = hashlib.sha256(account.encode()).hexdigest()[:_DIGEST]
    return f"{name[: NAME_CAP - _DIGEST - 1].rstrip('-.')}-{digest}"


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat says of the cycles of one account.

    `begun`: how many the operator's loop began. `judged`: the number, counted by `begun`, of the newest one that judged
    all of both sides; 0: none yet. `boot`: a random id of that loop: counts compare only where it is the same; empty:
    the Lease does not say.
    """

    boot: str = ""
    begun: int = 0
    judged: int = 0

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> "Beat":
        """The beat that a Lease tells; that of no cycle where its annotations cannot be read."""
        notes = (body.get("metadata") or {}).get("annotations") or {}
        boot, begun, judged = (notes.get(name) or "" for name in (BOOT, BEGUN, JUDGED))
        if not boot or not _COUNT.fullmatch(begun) or (judged and not _COUNT.fullmatch(judged)):
            return cls()
        return cls(boot, int(begun), int(judged or 0))

    def annotations(self) -> dict[str, str]:
        """The same for a Lease."""
        return {BOOT: self.boot, BEGUN: str(self.begun), JUDGED: str(self.judged) if self.judged else ""}
