"""What a resource's spec asks of the judgement, as plain data."""

from accountsync.api import v1alpha1 as api
from accountsync.controller.status import milliseconds
from accountsync.domain.catalogue import Severity
from accountsync.domain.policy import AutoResume, Ignore, Limits, Parity, Policy, Remedies, Threshold, Watchdog


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
        remedies=remedies_of(spec.remediation),
        parity=parity_of(spec.bot.state.postgres),
        pause_allowance_ms=allowance_ms(spec.bot),
    )


def allowance_ms(bot: api.Bot) -> int:
    """How long the bot may need to obey: a gate that is cut off learns of no hold, and stays open for its own time."""
    cut_off = bot.gate.fail_closed_after.milliseconds if bot.gate is not None else 0
    return max(bot.pause_allowance.milliseconds, cut_off)


def parity_of(asked: api.PostgresState | None) -> Parity | None:
    """How ghosts of its ledger are dealt with; None: they are not."""
    if asked is None or not asked.parity.enabled:
        return None
    terms = asked.parity
    return Parity(
        confirmations=terms.confirmations,
        require_attribution=terms.require_attribution,
        strong_only=terms.require_strong_attribution,
        heuristics=terms.allow_heuristic_match,
        fill_grace_ms=terms.fill_grace.milliseconds,
        dry_run=terms.dry_run,
    )


def remedies_of(asked: api.Remediation) -> Remedies:
    """What may be done about a finding beyond stopping the bot."""
    return Remedies(
        dry_run=asked.dry_run,
        repair=asked.repair_bot_state,
        orders=asked.unexpected_orders,
        positions=asked.unexpected_positions,
        prefixes=asked.order_id_prefixes,
        flatten_by=asked.flatten_by,
        max_slippage=asked.max_slippage,
        limits=Limits(asked.limits.actions_per_hour, asked.limits.notional_per_action, asked.limits.notional_per_hour),
        thresholds={row.rule: Threshold(row.count, row.notional, row.age.seconds) for row in asked.thresholds},
        expires_after=asked.plan_expiry.seconds,
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
