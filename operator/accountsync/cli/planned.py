"""A RemediationPlan as the API server showed it, read for a person."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accountsync.cli.texts import age, moment, printable
from accountsync.domain.plan import FINAL, Phase


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """All three are as stored."""

    metadata: Mapping[str, Any]
    spec: Mapping[str, Any]
    status: Mapping[str, Any]

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "StoredPlan":
        """Read an object of the API server."""
        return cls(body["metadata"], body.get("spec") or {}, body.get("status") or {})

    @property
    def name(self) -> str:
        """Its name, after its namespace."""
        return f"{self.metadata['namespace']}/{self.metadata['name']}"

    @property
    def version(self) -> str:
        """Its resourceVersion."""
        return str(self.metadata["resourceVersion"])

    @property
    def account(self) -> str:
        """The account that it is for, in the same namespace."""
        return str(self.spec["account"]["name"])

    @property
    def phase(self) -> str:
        """Where it stands; nobody has looked at one without a status yet."""
        return str(self.status.get("phase") or Phase.PENDING)

    @property
    def open(self) -> bool:
        """Whether anything can still come of it."""
        return self.phase not in set(FINAL)

    @property
    def approved(self) -> bool:
        """Whether a person approved it."""
        return self.spec.get("approved") is True

    @property
    def expires(self) -> datetime:
        """When nobody waits for an approval any more."""
        return datetime.fromisoformat(self.spec["expires"])

    def unapprovable(self, now: datetime) -> str:
        """Why approving it would do nothing; empty: it waits for that."""
        said = f": {printable(self.status['message'])}" if self.status.get("message") else ""
        if self.phase != Phase.PENDING:
            return f"it is no longer Pending but {printable(self.phase)}{said}"
        if self.approved:
            return "it is approved already"
        if self.spec.get("dryRun"):
            return "it is a dry run: nothing of it is ever done"
        if now >= self.expires:
            return f"it expired {age(self.expires, now)} ago; a new one is made of what is there by then"
        return "" if self.spec.get("approval") else "it needs nobody's approval: it goes on alone"

    def lines(self, now: datetime) -> Iterator[str]:
        """What it is, why, and how it stands."""
        yield f"{printable(self.name)}  {self._standing(now)}"
        yield _row("account", self.account)
        yield _row("what", self.spec.get("summary"))
        yield _row("why", self.spec.get("reason"))
        yield _row("notional", self.spec.get("notional"))
        if self.spec.get("approval"):
            yield _row("approval", self.spec["approval"])
        if self.status.get("message"):
            yield _row("status", self.status["message"])

    def action_lines(self) -> Iterator[str]:
        """Each step, with what became of it."""
        intents = self.status.get("intents") or ()
        for number, action in enumerate(self.spec.get("actions") or (), 1):
            became = intents[number - 1] if number <= len(intents) else {}
            state = f"  [{became['state']}]" if became else ""
            yield printable(f"  {number}. {_step(action)}{state}")
            for repair in action.get("repairs") or ():
                parts = (repair.get(part) for part in ("type", "symbol", "id", "value"))
                yield printable(f"       {' '.join(filter(None, parts))}")

    def _standing(self, now: datetime) -> str:
        if self.phase != Phase.PENDING:
            return printable(self.phase)
        left = f"expires in {age(now, self.expires)}" if now < self.expires else f"expired {age(self.expires, now)} ago"
        if self.spec.get("approval"):
            waits = "approved" if self.approved else "waits for approval"
        else:
            waits = "goes on alone"
        return f"{printable(self.phase)}, {waits}, {left} ({moment(self.expires)})"


def _step(action: Mapping[str, Any]) -> str:
    about = [str(action.get("type")), str(action.get("symbol") or "")]
    if order := action.get("orderId"):
        kind = "conditional order" if action.get("conditional") else "order"
        about.append(f"{kind} {order}" + (f" ({action['clientOrderId']})" if action.get("clientOrderId") else ""))
    if action.get("quantity"):
        price = f"at {action['price']}" if action.get("price") else "at the market"
        about.append(f"{action.get('positionSide', '')} position: {action.get('side')} {action['quantity']} {price}")
    if (after := action.get("after")) is not None:
        about.append(f"once step {after + 1} has closed its position")
    worth = f", {action['notional']}" if action.get("notional") not in {None, "0"} else ""
    why = f": {action['why']}" if action.get("why") else ""
    return " ".join(filter(None, about)) + worth + why


def _row(head: str, text: object) -> str:
    return f"  {head:<8}  {printable(str(text)) if text else 'not said'}"
