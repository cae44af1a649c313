"""One account on one screen, for a person who was just woken: what the bot does, why, and what to do."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from accountsync.api.v1alpha1 import Condition, Finding
from accountsync.cli.account import Account, said
from accountsync.cli.texts import age, count, moment, printable
from accountsync.domain.finding import plain


def stopped(account: Account) -> bool:
    """What the bot goes by."""
    return account.paused or account.status.paused


def verdict(account: Account) -> str:
    """Whether both sides agree, in a line."""
    found = account.status.findings
    ready = _condition(account, "Ready")
    blind = f"; {printable(ready.reason)}: {printable(ready.message)}" if ready and ready.status != "True" else ""
    return f"{account.status.sync or 'never compared'}, {count(found.total if found else 0, 'finding')}{blind}"


def finding_lines(account: Account, now: datetime | None = None) -> list[str]:
    """The findings, worst first, indented."""
    found = account.status.findings
    if found is None:
        return []
    lines = [f"  {line_of(each, now)}" for each in found.items]
    more = found.total - len(found.items)
    return [*lines, f"  and {more} more that the status has no room for"] if more > 0 else lines


def line_of(finding: Finding, now: datetime | None = None) -> str:
    """A finding in a line."""
    about = " ".join(filter(None, [finding.rule, finding.symbol, finding.id]))
    notional = f", {plain(finding.notional)} at risk" if finding.notional else ""
    since = f", for {age(finding.first_seen, now)}" if now else ""
    sides = f"the bot has {finding.expected or 'nothing'}, the exchange {finding.observed or 'nothing'}"
    return printable(f"{finding.severity:<8}  {about}: {sides}{notional}{since}")


def resume_lines(account: Account) -> list[str]:
    """What lifts the holds that a person lifts."""
    where = f"{account.name} -n {account.namespace}"
    lines = [f"resume over this: accountsync resume {where} --digest {h.digest}" for h in account.resumable()]
    return [*lines, f"lift the pause:   accountsync resume {where}"] if account.paused else lines


def screen(account: Account, now: datetime) -> str:
    """All of it."""
    spec, status = account.spec, account.status
    mode = (spec.get("remediation") or {}).get("mode", "Observe")
    lines = [f"{account.namespace}/{account.name}  {(spec.get('exchange') or {}).get('id', '')}, mode {mode}"]
    if account.unreadable:
        lines.append(f"status     NOT READABLE by this version: {account.unreadable}")
    lines += [_row("bot", _bot(account)), _row("sync", verdict(account))]
    lines += _rows("holds", _holds(account, now))
    found = status.findings
    lines += _rows("findings", finding_lines(account, now) if found and found.total else ["none"])
    lines += [_row("snapshot", _snapshot(account, now))]
    belief = _condition(account, "BotReachable")
    lines += [_row("belief", _told(belief) if belief else "not read yet")]
    ledger = _condition(account, "LedgerReconciled")
    lines += [_row("ledger", _told(ledger))] if ledger else []
    written = status.last_report_time
    lines += [_row("operator", f"wrote this {age(written, now)} ago" if written else "has not written yet")]
    lines += resume_lines(account)
    return "\n".join(lines)


def document(account: Account, now: datetime) -> dict[str, Any]:
    """The same for programs. Ages are in seconds."""
    status = account.status
    belief, ledger = _condition(account, "BotReachable"), _condition(account, "LedgerReconciled")
    taken = status.snapshot.timestamp if status.snapshot else None
    whole = status.dump()
    return {
        "namespace": account.namespace,
        "name": account.name,
        "stopped": stopped(account),
        "paused": {"spec": account.paused, "status": status.paused, "reason": account.spec.get("pauseReason", "")},
        "sync": status.sync,
        "holds": whole.get("holds", []),
        "findings": whole.get("findings", {"total": 0, "confirmed": 0}),
        "snapshot": whole.get("snapshot"),
        "snapshotAge": (now - taken).total_seconds() if taken else None,
        "belief": belief.dump() if belief else None,
        **({"ledger": ledger.dump()} if ledger else {}),
        "lastReportTime": whole.get("lastReportTime"),
        **({"unreadable": account.unreadable} if account.unreadable else {}),
    }


def _bot(account: Account) -> str:
    if not stopped(account):
        return "runs"
    return f"PAUSED at {account.level}" if account.level else "PAUSED"


def _holds(account: Account, now: datetime) -> list[str]:
    lines = []
    for hold in account.status.holds:
        digest = f"  [digest {printable(hold.digest)}]" if hold.digest else ""
        lines.append(f"  {said(hold)} ({age(hold.since, now)}){digest}")
    if account.paused and account.hold("User") is None:
        lines.append("  spec.paused, which the operator has not seen yet; the bot obeys it all the same")
    if account.paused:
        by = account.paused_by()
        lines.append(f"  paused{f' by {by}' if by else ''}: {account.reason or 'no reason is given'}")
    return lines or ["none"]


def _snapshot(account: Account, now: datetime) -> str:
    taken = account.status.snapshot
    if taken is None:
        return "none yet"
    return (
        f"listed {age(taken.timestamp, now)} ago ({moment(taken.timestamp)}): {count(taken.positions, 'position')},"
        f" {count(taken.open_orders, 'open order')} of {plain(taken.pending_notional)}"
    )


def _condition(account: Account, kind: str) -> Condition | None:
    return next((each for each in account.status.conditions if each.type == kind), None)


def _told(condition: Condition) -> str:
    return f"{printable(condition.reason)}: {printable(condition.message)}"


def _row(head: str, text: str) -> str:
    return f"{head:<9}  {text}"


def _rows(head: str, lines: Sequence[str]) -> list[str]:
    """A head with lines below it, or one word beside it."""
    return [_row(head, lines[0])] if lines == ["none"] else [head, *lines]
