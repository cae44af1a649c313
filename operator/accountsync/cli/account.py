"""A TradingAccount as the API server showed it, read for a person."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accountsync.api.v1alpha1 import GROUP, Finding, Hold, HoldSource, TradingAccountStatus, parse_status
from accountsync.cli.texts import moment, printable
from accountsync.domain.catalogue import Rule
from accountsync.domain.finding import Finding as Known
from accountsync.domain.holds import Hold as Chain
from accountsync.domain.holds import Signal, Source, fingerprint
from accountsync.errors import ConfigurationError

RESUME, RESUMED_BY = f"{GROUP}/resume", f"{GROUP}/resumed-by"
REQUESTED_AT = f"{GROUP}/requestedAt"


@dataclass(frozen=True, slots=True)
class Account:
    """`spec` and `metadata` are as stored. `unreadable`: why `status` is empty, where another version wrote it."""

    metadata: Mapping[str, Any]
    spec: Mapping[str, Any]
    status: TradingAccountStatus
    unreadable: str = ""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Account":
        """Read an object of the API server, whatever it holds."""
        try:
            return cls(body["metadata"], body.get("spec") or {}, parse_status(body))
        except ConfigurationError as error:
            return cls(body["metadata"], body.get("spec") or {}, TradingAccountStatus(), printable(str(error)))

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return str(self.metadata["namespace"])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.metadata["name"])

    @property
    def paused(self) -> bool:
        """Whether a person paused it: spec.paused, whatever the operator made of it."""
        return self.spec.get("paused") is True

    @property
    def reason(self) -> str:
        """Why, in that person's words, quoted; empty: none was given."""
        text = printable(str(self.spec.get("pauseReason") or ""))
        return f'"{text}"' if text else ""

    @property
    def level(self) -> str:
        """How far a person's pause goes; empty: nothing says."""
        return str(self.spec.get("pauseLevel") or "")

    @property
    def followed(self) -> bool:
        """Whether the status speaks of the spec as it is now."""
        return (self.status.observed_generation or 0) >= int(self.metadata.get("generation", 0))

    def annotation(self, name: str) -> str:
        """An annotation, or nothing."""
        return str((self.metadata.get("annotations") or {}).get(name, ""))

    def hold(self, source: str) -> Hold | None:
        """The hold of this source."""
        return next((hold for hold in self.status.holds if hold.source == source), None)

    def resumable(self) -> list[Hold]:
        """Holds that a person lifts by quoting their digest."""
        return [hold for hold in self.status.holds if hold.digest]

    def paused_by(self) -> str:
        """Who set spec.paused, and when, as far as the object tells; empty: it does not.

        The time of the hold, since that of the field's manager moves with all else that the manager writes.
        """
        hold = self.hold(HoldSource.USER)
        for entry in self.metadata.get("managedFields") or ():
            fields = (entry.get("fieldsV1") or {}).get("f:spec") or {}
            if "f:paused" in fields and not entry.get("subresource"):
                written = datetime.fromisoformat(entry["time"]) if entry.get("time") else None
                when = hold.since if hold else written
                return printable(str(entry.get("manager", ""))) + (f" ({moment(when)})" if when else "")
        return ""


def unseen(hold: Hold, digest: str, findings: tuple[Finding, ...]) -> list[Finding] | None:
    """What of `findings` joined `hold` after `digest` was current; None: it never was this hold's."""
    chain = Chain(Source.POLICY, Signal.DRIFT, "", 0, hold.base or "", tuple(hold.keys))
    keys = chain.unseen_by(digest)
    if keys is None:
        return None
    return [each for each in findings if _fingerprint(each) in keys]


def _fingerprint(finding: Finding) -> str:
    if finding.rule not in set(Rule):
        return ""
    return fingerprint(Known(Rule(finding.rule), finding.symbol, finding.id).key)


def said(hold: Hold) -> str:
    """A hold in a line."""
    message = f": {printable(hold.message)}" if hold.message else ""
    return f"{printable(hold.source)} since {moment(hold.since)}{message}"
