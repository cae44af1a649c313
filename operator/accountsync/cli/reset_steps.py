"""The steps of a full reset in words: what each does, why one can't begin, and where they stand."""

from datetime import UTC, datetime
from typing import Any

from accountsync.api.v1alpha1 import PauseLevel, Sync
from accountsync.cli.account import Account
from accountsync.cli.errand import Errand, standing_of
from accountsync.cli.texts import count
from accountsync.domain.catalogue import Rule, Severity

REASON = "a full reset is under way (accountsync reset)"
STEPS = (
    ("pause", "set spec.paused, so that the bot adds nothing, and wait until the operator holds it"),
    ("ask", "have the operator read the account and plan to cancel and close all that is the bot's"),
    ("cancel and flatten", "show the plan, ask, approve it, and wait until the exchange shows it done"),
    ("clear belief", "wait until the bot believes in no order and no position"),
    ("verify", "have both sides read once more, and wait until they agree"),
    ("resume", "let the bot trade again"),
)


UNKNOWN = (
    "the exchange does not say what became of an action, and the operator goes on asking. If it stays so: look at the"
    " exchange by hand, put it right, and lift the UnknownOutcome hold with"
)


def objections(account: Account) -> str:
    """Why a reset can't begin, before anything is changed; empty: it can."""
    spec = account.spec
    remediation = spec.get("remediation") or {}
    mode = remediation.get("mode", "Observe")
    where = f"{account.namespace}/{account.name}"
    if mode != "Enforce":
        return f"spec.remediation.mode of {where} is {mode}: only in Enforce does the operator act on the exchange"
    if not ((spec.get("credentials") or {}).get("trade") or {}).get("secretRef"):
        return f"{where} has no key that may trade: name its Secret in spec.credentials.trade.secretRef"
    if remediation.get("dryRun"):
        return f"spec.remediation.dryRun of {where} is true: nothing would be done"
    if spec.get("suspend"):
        return f"spec.suspend of {where} is true: the operator does not look at it"
    if spec.get("pauseLevel") == PauseLevel.HALT and "freqtrade" in ((spec.get("bot") or {}).get("state") or {}):
        return (
            f"spec.pauseLevel of {where} is Halt: a freqtrade that is halted tells nothing of what it believes, so that"
            " the reset could not come to its end: set spec.pauseLevel: ReduceOnly first"
        )
    return ""


def agreed(account: Account) -> bool:
    """Whether both sides agree, but for orders that are not the bot's: those are left alone, and told all the same."""
    status = account.status
    if status.sync != Sync.OUT_OF_SYNC:
        return status.sync == Sync.IN_SYNC
    found = status.findings
    items = found.items if found else ()
    foreign = [row for row in items if row.rule == Rule.UNEXPECTED_ORDER and row.severity == Severity.WARNING.word]
    return found is not None and len(foreign) == found.total


def clearing(account: Account) -> str:
    """How the bot comes to believe in nothing, by where its belief is read."""
    bot, remediation = account.spec.get("bot") or {}, account.spec.get("remediation") or {}
    state: dict[str, Any] = bot.get("state") or {}
    if (state.get("http") or {}).get("repairPath") and remediation.get("repairBotState", True):
        return (
            "the operator tells the bot what is gone (a repair of its belief); where it does not take that, restart it"
        )
    if "postgres" in state:
        return "the operator's reconciliation closes in the ledger what is gone from the exchange"
    if "freqtrade" in state:
        return "the operator has freqtrade look at its trades anew; end by hand what stays open (docs/freqtrade.md)"
    return "restart the bot now: it must begin with no order and no position"


def place(number: int) -> str:
    """The head of a step."""
    return f"{number}/{len(STEPS)} {STEPS[number - 1][0]}"


def usual(number: int) -> str:
    """What a step does."""
    return STEPS[number - 1][1]


async def preview(errand: Errand) -> list[str]:
    """All steps, and where they stand."""
    account = errand.seen
    taken = account.status.snapshot
    there = "not read yet"
    if taken is not None:
        there = f"{count(taken.positions, 'position')}, {count(taken.open_orders, 'open order')}"
    texts = [what for _, what in STEPS]
    texts[0] += "; it is paused already" if account.paused else ""
    texts[3] += f": {clearing(account)}"
    lines = [f"reset of {account.namespace}/{account.name}: nothing is changed; on the exchange: {there}"]
    lines += [f"{place(number)}: {text}" for number, text in enumerate(texts, 1)]
    if errand.asked:
        said = standing_of(account, errand.asked)
        where = said.text if said else "the operator has not said more"
        lines.append(f"reset {errand.asked} is under way: {where}")
        plan = await errand.plan()
        lines += [] if plan is None else [*plan.lines(datetime.now(UTC)), *plan.action_lines()]
    return lines
