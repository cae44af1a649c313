"""One reconciliation run over a ledger, after a cycle: corrections of orders first, then the parity heartbeat.

In:  the cycle that was just reported, its policy, what the siblings believe, the task, and the book of the last run.
Out: a `Run`: what was changed, what was not and why, and the numbers.

Invariants:
1. Nothing is judged without a complete cycle. What is written follows from what that cycle showed confirmed, or from
   ghosts that so many runs saw; nothing is where the task withholds it, or where its fence is down right before.
2. A symbol that was corrected has no ghost in the same run: what follows from a correction is the next reading's.
3. A run ends within the policy's timeout and after MAX_CHANGES changes; the rest is the next run's. Memory grows with
   positions and ghosts, not with slices.
4. A change that the ledger refuses stops no other; a ledger that is lost stops all.
"""

import asyncio
from collections.abc import Awaitable, Collection, Iterable, Mapping
from dataclasses import replace

from accountsync.cycle import Cycle
from accountsync.domain.account import AccountSnapshot
from accountsync.domain.attribution import stem
from accountsync.domain.backfill import backfill
from accountsync.domain.catalogue import Rule
from accountsync.domain.finding import Finding, worst_first
from accountsync.domain.ledger import Correction, Handler, LedgerOrder, NoGo, Slice, Written
from accountsync.domain.lifecycle import HANDLED, WHY, Refusal, row_of
from accountsync.domain.parity import GhostKey, Look, Open, collect, look, reckoned, tally_up
from accountsync.domain.policy import Mode, Parity, Policy, UnexpectedOrders
from accountsync.domain.sharing import Sharing
from accountsync.domain.towards import astray
from accountsync.errors import (
    LedgerBusy,
    LedgerError,
    LedgerOutcomeUnknown,
    LedgerReason,
    LedgerRefused,
    LedgerUnavailable,
)
from accountsync.observe import in_exchange_terms
from accountsync.ports import LockedLedger
from accountsync.reconcile.book import Book, Change, Run, Stopped, Task, Verdict
from accountsync.reconcile.judging import Judging
from accountsync.reconcile.proof import Proof

MAX_CHANGES = 100
LONGEST_SECONDS = 120.0
"""The lock of the ledger and a connection are held no longer than this, whatever the policy's timeout."""
JUDGED_AGAIN_AFTER = 60.0
"""Seconds after which the end of a quarantined ghost is looked for again: its fills may have been told late."""
NEVER = float("-inf")


async def run(cycle: Cycle, policy: Policy, sharing: Sharing, task: Task, book: Book) -> Run:
    """Reconcile the ledger of `task` once. The cycle has to be complete."""
    snapshot = cycle.state.snapshot
    assert cycle.complete, "what was not judged is not reconciled"
    assert snapshot is not None
    work = _Work(cycle, snapshot, in_exchange_terms(policy, task.exchange), sharing, task, book)
    seconds = min(policy.timeout, LONGEST_SECONDS)
    try:
        async with asyncio.timeout(seconds), task.ledger.locked(task.exchange.canonical_symbol) as ledger:
            await work.go(ledger)
    except LedgerError as error:
        work.result = replace(work.result, error=error)
    except TimeoutError:
        work.result = replace(work.result, error=work.late(seconds))
    except Stopped as stopped:
        work.result = replace(work.result, stopped=str(stopped))
    return work.result


class _Work:
    """A run on its way. `result`: what it came to so far."""

    def __init__(
        self, cycle: Cycle, snapshot: AccountSnapshot, policy: Policy, sharing: Sharing, task: Task, book: Book
    ) -> None:
        self.result = Run(book)
        self._cycle = cycle
        self._snapshot = snapshot
        self._policy = policy
        self._sharing = sharing
        self._task = task
        self._book = book
        self._proof = Proof(
            task.exchange, book.client_ids, snapshot.timestamp, sharing=sharing, prefix=policy.order_id_prefix
        )
        self._now = task.clock.monotonic()
        self._told_only: set[str] = set()
        """Symbols of which an order would have been put right, were it not withheld."""
        self._changed_symbols: set[str] = set()
        """Symbols of which an order was put right, or is another by now."""
        self._touched: set[tuple[str, str]] = set()
        """Symbols and trades whose slices are not as they were read."""
        self._names_worth: frozenset[str] = frozenset()
        self._left = MAX_CHANGES

    async def go(self, ledger: LockedLedger) -> None:
        await self._look_up(ledger)
        shown = sorted(self._cycle.outcome.shown, key=worst_first)
        findings = [finding for finding in shown if finding.rule in HANDLED]
        rows = await ledger.orders([name for finding in findings for name in _names(finding)]) if findings else ()
        rows_of = {finding.key: row_of(finding, rows) for finding in findings}
        virtual, slices = await self._leaf_through(ledger, findings, rows_of)
        judging = Judging(self._cycle, self._snapshot, self._policy, self._task.profile, self._proof, ledger)
        judged = [(finding, await judging.of(finding, rows_of[finding.key], slices)) for finding in findings]
        made = [verdict for _, verdict in judged if isinstance(verdict, Correction)]
        refused = astray(made, virtual, self._snapshot, self._sharing)
        for finding, verdict in judged:
            why = refused.get(verdict.event_id) if isinstance(verdict, Correction) else None
            await self._correct(finding, why or verdict, ledger)
        await self._heartbeat(virtual, ledger)
        asked = {**self._book.asked, **dict.fromkeys(self._proof.asked, self._now)}
        self.result = replace(
            self.result, book=replace(self.result.book, asked=asked, client_ids=self._proof.kept(self._names_worth))
        )  # fmt: skip

    async def _leaf_through(
        self, ledger: LockedLedger, findings: Iterable[Finding], rows_of: Mapping[str, LedgerOrder | None]
    ) -> tuple[dict[GhostKey, Open], list[Slice]]:
        """What is open by position, and the slices that `findings` may be about."""
        trades = {row.trade_id for row in rows_of.values() if row is not None and row.trade_id}
        lost = {finding.client_id for finding in findings if rows_of[finding.key] is None and finding.client_id}
        stems = {stem(client_id) for client_id in lost} - {""}
        virtual: dict[GhostKey, Open] = {}
        found: list[Slice] = []
        async for batch in ledger.slices():
            for key, part in tally_up(batch).items():
                virtual[key] = virtual.get(key, Open()) + part
            if trades or lost:
                found += [
                    row
                    for row in batch
                    if row.trade_id in trades
                    or row.entry_client_id in lost
                    or not stems.isdisjoint({row.trade_id, row.entry_client_id})
                ]
        return virtual, found

    # --- orders ------------------------------------------------------------------------------------------------------

    async def _correct(self, finding: Finding, verdict: Correction | Refusal, ledger: LockedLedger) -> None:
        """Bring it into the ledger."""
        if isinstance(verdict, Refusal):
            self._refuse(finding.key, WHY[verdict])
            return
        if verdict.handler is Handler.ADOPT and self._cancels():
            self._refuse(finding.key, "remediation.unexpectedOrders has such orders cancelled, so it is not adopted")
            return
        symbol = finding.symbol
        trade = (symbol, verdict.order.trade_id)
        if not self._left or (verdict.fills and trade in self._touched):
            return
        self._left -= 1
        outcome = None
        if self._task.withheld:
            self._told_only.add(symbol)
        else:
            try:
                outcome = await self._written(
                    ledger.correct(verdict, self._task.fence), Change.corrected(verdict, Written.UNKNOWN)
                )
            except (LedgerRefused, LedgerBusy) as error:
                self._hindered(finding.key, error)
                return
            self._changed_symbols.add(symbol)
            if verdict.fills:
                self._touched.add(trade)
        self._changed(Change.corrected(verdict, outcome))

    def _cancels(self) -> bool:
        """Whether plans deal with orders that the ledger does not know."""
        policy = self._policy
        return policy.mode is Mode.ENFORCE and policy.remedies.orders is not UnexpectedOrders.NEVER

    # --- ghosts ------------------------------------------------------------------------------------------------------

    async def _heartbeat(self, virtual: Mapping[GhostKey, Open], ledger: LockedLedger) -> None:
        """Look for ghosts, close those that fills prove to be over, and reckon."""
        terms, believed = self._policy.parity, self._cycle.state.believed
        if terms is None or believed is None:
            self._reckon(Look(), {}, 0)
            return
        fills = self._cycle.state.fills
        symbols = {symbol for symbol, _ in virtual}
        last = {symbol: fills.last(symbol) or 0 for symbol in symbols} if fills is not None else {}
        seen = look(
            {key: part for key, part in virtual.items() if key[0] not in self._changed_symbols},
            self._snapshot,
            believed.as_of,
            self._sharing,
            terms,
            self._book.sights,
            grace_ms=self._policy.order_grace_ms,
            traded=last,
        )
        self._names_worth = frozenset(symbol for symbol, _ in seen.confirmed)
        verdicts = {key: verdict for key, verdict in self._book.verdicts.items() if key in seen.memory}
        due = self._due(seen.confirmed, verdicts)
        closed = 0
        for key, slices in (await self._second_look(ledger, due) if due else {}).items():
            verdict, count = await self._settle(key, slices, terms, ledger)
            verdicts[key] = verdict
            closed += count
        self._reckon(seen, verdicts, closed)

    def _due(self, confirmed: Iterable[GhostKey], verdicts: Mapping[GhostKey, Verdict]) -> list[GhostKey]:
        """The confirmed ghosts to judge now: those whose symbols were asked for longest ago come first."""
        accepted = {
            row.symbol
            for row in self._policy.ignores
            if row.rule is Rule.POSITION_MISMATCH and row.until > self._task.clock.now_ms()
        }
        due = [
            key
            for key in confirmed
            if key[0] not in accepted
            and "" not in accepted
            and (key not in verdicts or self._now - verdicts[key].at >= JUDGED_AGAIN_AFTER)
        ]
        return sorted(due, key=lambda key: (self._book.asked.get(key[0], NEVER), key))

    async def _second_look(self, ledger: LockedLedger, keys: Collection[GhostKey]) -> dict[GhostKey, tuple[Slice, ...]]:
        """The slices of these ghosts as they are now, after what was corrected."""
        found: dict[GhostKey, tuple[Slice, ...]] = dict.fromkeys(keys, ())
        async for batch in ledger.slices():
            for key, rows in collect(batch, keys).items():
                found[key] += rows
        return {key: rows for key, rows in found.items() if rows}

    async def _settle(
        self, key: GhostKey, slices: tuple[Slice, ...], terms: Parity, ledger: LockedLedger
    ) -> tuple[Verdict, int]:
        """Close what is proven of one ghost; why the rest stays open, and how many slices were closed."""
        symbol, _ = key
        rows = await self._proof.of(symbol, slices, ledger, grace_ms=terms.fill_grace_ms)
        shared = bool(self._sharing.siblings)
        judgement = backfill(self._task.profile, slices, rows, terms, shared=shared)
        only_told = bool(self._task.withheld) or terms.dry_run
        closed = 0
        # what is told of an order of this symbol may be of these very fills
        exits = () if symbol in self._told_only else judgement.exits
        for synthetic in exits[: self._left]:
            self._left -= 1
            outcome = None
            if not only_told:
                try:
                    outcome = await self._written(
                        ledger.close(synthetic, self._task.fence), Change.closed(synthetic, Written.UNKNOWN)
                    )
                except (LedgerRefused, LedgerBusy) as error:
                    self._hindered(f"trade {synthetic.slice.trade_id}", error)
                    continue
            closed += outcome is Written.APPLIED
            self._changed(Change.closed(synthetic, outcome))
        again = NoGo.FILLS_UNKNOWN in judgement.no_go.values() or (judgement.exits and not only_told)
        return Verdict(NEVER if again else self._now, judgement.no_go), closed

    def _reckon(self, seen: Look, verdicts: Mapping[GhostKey, Verdict], closed: int) -> None:
        no_go = {trade: why for verdict in verdicts.values() for trade, why in verdict.no_go.items()}
        book = replace(self._book, sights=seen.memory, verdicts=verdicts)
        self.result = replace(self.result, book=book, tally=reckoned(seen, no_go, closed))

    def late(self, seconds: float) -> LedgerError:
        """What to say where the time is over."""
        lost = [f"{change.name} {change.event_id}" for change in self.result.book.unsure]
        after = f"; the next run looks up whether it wrote {', '.join(lost)}" if lost else ""
        return LedgerUnavailable(LedgerReason.TIMEOUT, f"the run did not end within {seconds:g} s{after}")

    # --- what became of it -------------------------------------------------------------------------------------------

    async def _written(self, write: Awaitable[Written], unsure: Change) -> Written:
        """The outcome of a change; `unsure` is remembered where it was lost on its way."""
        try:
            return await write
        except (LedgerOutcomeUnknown, asyncio.CancelledError):
            self._changed(unsure)
            book = self.result.book
            self.result = replace(self.result, book=replace(book, unsure=(*book.unsure, unsure)))
            raise

    async def _look_up(self, ledger: LockedLedger) -> None:
        """What became of the changes that an earlier run does not know the outcome of."""
        unsure = self._book.unsure
        if unsure:
            known = await ledger.written([change.event_id for change in unsure])
            for change in unsure:
                if change.event_id in known:
                    self._changed(replace(change, outcome=Written.APPLIED))
        self._book = replace(self._book, unsure=())
        self.result = replace(self.result, book=self._book)

    def _changed(self, change: Change) -> None:
        self.result = replace(self.result, changes=(*self.result.changes, change))

    def _refuse(self, key: str, why: str) -> None:
        self.result = replace(self.result, refusals={**self.result.refusals, key: why})

    def _hindered(self, key: str, error: LedgerError) -> None:
        self._refuse(key, error.message)
        self.result = replace(self.result, error=self.result.error or error)


def _names(finding: Finding) -> list[tuple[str, str, str]]:
    """What the ledger may know the order of `finding` by."""
    name = finding.id.removeprefix("trigger:")
    return [(finding.symbol, name, ""), (finding.symbol, "", finding.client_id or name)]
