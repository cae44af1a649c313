"""What a resource's spec asks of the judgement, as plain data."""

from accountsync.api import v1alpha1 as api
from accountsync.controller.status import milliseconds
from accountsync.domain.catalogue import Severity
from accountsync.domain.policy import AutoResume, Ignore, Policy, Watchdog


def policy_of(spec: api.TradingAccountSpec) -> Policy:
    """All of it."""
    pause_at = spec.remediation.pause_at.value
    return Policy(
        mode=spec.remediation.mode,
        pause_at=None if pause_at == "never" else Severity[pause_at.upper()],
        order_id_prefix=spec.bot.order_id_prefix,
        symbols=tuple(spec.exchange.symbols),
        position_tolerance=spec.tolerances.position,
        balance_tolerances={row.asset: row.tolerance for row in spec.tolerances.balances},
        order_grace_ms=spec.tolerances.order_grace.milliseconds,
        confirmations=spec.tolerances.confirmations,
        timeout=spec.effective_timeout(),
        stale_after=spec.stale_after.seconds,
        belief_stale_after_ms=spec.bot.stale_after.milliseconds,
        ignores=tuple(Ignore(row.rule, milliseconds(row.until), row.symbol, row.id) for row in spec.ignore),
        watchdog=watchdog_of(spec),
    )


def watchdog_of(spec: api.TradingAccountSpec) -> Watchdog | None:
    """Its watchdog; None: it is off."""
    asked = spec.watchdog
    if asked is None:
        return None
    terms = asked.auto_resume
    return Watchdog(
        allocated_capital=asked.allocated_capital,
        currency=asked.currency,
        max_mismatch_ratio=asked.max_mismatch_ratio,
        auto_resume=AutoResume(terms.enabled, terms.min_pause.seconds, terms.clean_cycles, terms.cooldown.seconds),
    )
