"""What is to be done about confirmed findings, as one plan of an account.

In:  what stands (tracks, snapshot, belief), what the resource allows (`Policy`), what was done before (`Past`).
Out: `Proposal`: the actions, and why a person must approve them, or why nothing may be done.

Pure: it sends nothing, and looks at no clock.
"""

import hashlib
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from accountsync.domain.account import PositionSide, Side
from accountsync.domain.intents import SETTLED, UNSETTLED, Intent, IntentState

RESET = "Reset||"
"""How what stands for a finding begins in the actions of a full reset; the reset's id follows."""


class ActionKind(StrEnum):
    """Kinds of actions."""

    CANCEL = "Cancel"
    FLATTEN = "Flatten"
    REPAIR = "Repair"


class RepairKind(StrEnum):
    """What of a belief is put right, by the names of the desync runbook."""

    MISSING_ORDER = "missing_local_order"
    STALE_ORDER = "stale_local_order"
    POSITION = "position_mismatch"
    BALANCE = "balance_mismatch"


@dataclass(frozen=True, slots=True)
class Repair:
    """One thing that the bot is told. `value`: the quantity or balance, or the state of the order, as text.

    `order_id`, `client_id`, `side`, `quantity`, `filled`, `price`: of an order that it should know of, or know better.
    """

    kind: RepairKind
    symbol: str
    id: str
    value: str
    order_id: str = ""
    client_id: str = ""
    side: str = ""
    quantity: Decimal | None = None
    filled: Decimal | None = None
    price: Decimal | None = None

    @property
    def about(self) -> tuple[RepairKind, str, str]:
        """What it puts right, whatever it says of it."""
        return self.kind, self.symbol, self.id


@dataclass(frozen=True, slots=True)
class Action:
    """One step of a plan; everything that is sent follows from it.

    Cancel: `order_id`, `client_id` and `conditional` of the order. Flatten: `leg`, the `side` that closes it,
    `quantity` (base-asset units, a multiple of the step) and `price` (None: market). Repair: `repairs`.
    `findings`: keys of what it is for. `notional`: quote currency. `after`: index of the Flatten that has to have
    closed its position before this one may be sent; None: nothing has to. `why`: for a person.
    """

    kind: ActionKind
    symbol: str = ""
    order_id: str = ""
    client_id: str = ""
    conditional: bool = False
    leg: PositionSide | None = None
    side: Side | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    repairs: tuple[Repair, ...] = ()
    notional: Decimal = Decimal(0)
    findings: tuple[str, ...] = ()
    after: int | None = None
    why: str = ""

    @property
    def key(self) -> str:
        """What it acts on, whatever the numbers: the same in a plan that is made again."""
        about = self.order_id or (str(self.leg) if self.leg else "")
        return f"{self.kind}|{self.symbol}|{about}"

    @property
    def trades(self) -> bool:
        """Whether it changes something on the exchange."""
        return self.kind is not ActionKind.REPAIR

    @property
    def reset(self) -> str:
        """The full reset that it is part of; empty: of none."""
        return next((key.removeprefix(RESET) for key in self.findings if key.startswith(RESET)), "")

    @property
    def title(self) -> str:
        """What it does, in a few words."""
        if self.kind is ActionKind.REPAIR:
            return f"repair the bot's belief ({len(self.repairs)})"
        if self.kind is ActionKind.CANCEL:
            return f"cancel order {self.order_id} of {self.symbol}"
        return f"flatten {self.symbol} {self.leg}"


class Phase(StrEnum):
    """Where a plan stands, for people. All but Pending, Ready, Running and Unknown are final."""

    PENDING = "Pending"
    READY = "Ready"
    RUNNING = "Running"
    DONE = "Done"
    REFUSED = "Refused"
    UNKNOWN = "Unknown"
    EXPIRED = "Expired"
    DRY_RUN = "DryRun"


NOT_VERIFIED = "not verified"
"""How the message of a plan begins that no snapshot confirmed."""
FINAL = frozenset({Phase.DONE, Phase.REFUSED, Phase.EXPIRED, Phase.DRY_RUN})


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan as it is stored. `version`: of the object, for the next write. Times are Unix ms by our clock.

    `approval`: why a person must approve it; empty: it goes on alone. `approved`: a person did. `executed`: exchange
    ms after which a snapshot shows what came of it; None: nothing was sent. `intents`: one an action, in their order.
    """

    name: str
    actions: tuple[Action, ...]
    created: int
    expires: int
    approval: str = ""
    approved: bool = False
    dry_run: bool = False
    intents: tuple[Intent, ...] = ()
    phase: Phase = Phase.PENDING
    executed: int | None = None
    message: str = ""
    version: str = ""

    @property
    def open(self) -> bool:
        """Whether anything can still come of it."""
        return self.phase not in FINAL

    @property
    def may_run(self) -> bool:
        """Whether nobody has to be asked any more."""
        return not self.dry_run and (self.approved or not self.approval)

    @property
    def unsettled(self) -> bool:
        """Whether something was sent of which nobody knows what became of it."""
        return any(intent.state in UNSETTLED for intent in self.intents)

    @property
    def settled(self) -> bool:
        """Whether it is known what became of every action."""
        return all(intent.state in SETTLED for intent in self.intents)

    @property
    def unverified(self) -> bool:
        """Whether it ended without a snapshot that showed what came of it."""
        return self.phase is Phase.REFUSED and self.message.startswith(NOT_VERIFIED)

    @property
    def trades(self) -> bool:
        """Whether it changes something on the exchange."""
        return any(action.trades for action in self.actions)

    @property
    def reset(self) -> str:
        """The full reset that it carries out; empty: none."""
        return next((action.reset for action in self.actions if action.reset), "")

    @property
    def summary(self) -> str:
        """What it does, in a sentence."""
        more = f", and {len(self.actions) - 3} more" if len(self.actions) > 3 else ""  # noqa: PLR2004
        return ", ".join(action.title for action in self.actions[:3]) + more

    @property
    def started(self) -> bool:
        """Whether anything was ever on its way."""
        return any(intent.state is not IntentState.PLANNED for intent in self.intents)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would be done now. `approval`: why a person must agree; empty: nobody has to.

    `refusal`: why nothing of it may be done although something should be, for the hold and for people: over a limit, no
    price; `refused`: keys of the findings that it is about. `residue`: what can't be closed because it is below the
    step, in words. `withheld`: repairs that a person has to decide on, and why; the rest goes on without them.
    """

    actions: tuple[Action, ...] = ()
    approval: str = ""
    refusal: str = ""
    refused: tuple[str, ...] = ()
    residue: tuple[str, ...] = field(default=())
    withheld: str = ""

    @property
    def findings(self) -> tuple[str, ...]:
        """Keys of all findings that it is for."""
        return tuple(sorted({key for action in self.actions for key in action.findings}))


NAME_LENGTH = 10
CLIENT_ID = "acsync-"
"""How the client ids of our own orders begin. The beginning proves nothing: a plan's intents do."""


def plan_name(account: str, uid: str, proposal: Proposal, ordinal: int) -> str:
    """The name of the object for `proposal`: creating it is the claim. `ordinal`: of earlier plans of the account."""
    parts = [uid, str(ordinal), *proposal.findings, *(action.key for action in proposal.actions)]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:NAME_LENGTH]
    return f"{account[:200]}-{digest}"


def client_id(uid: str, plan: str, index: int) -> str:
    """The client id of the order that action `index` of `plan` places: the same whoever sends it, at most 36 long."""
    digest = hashlib.sha256(f"{uid} {plan} {index}".encode()).hexdigest()[:24]
    return f"{CLIENT_ID}{digest}"
