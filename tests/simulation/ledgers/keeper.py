"""The operator's reconciliation of one ledger, made of the domain's functions as they are."""

import random
from dataclasses import dataclass, field

from tests.simulation.ledgers.auditor import Auditor
from tests.simulation.ledgers.bot import Bot
from tests.simulation.ledgers.market import Market

from accountsync.domain.account import AccountSnapshot, Order, OrderStatus, PositionSide
from accountsync.domain.attribution import evidence
from accountsync.domain.backfill import backfill
from accountsync.domain.catalogue import Rule
from accountsync.domain.expected import ExpectedPosition, ExpectedState
from accountsync.domain.finding import Finding
from accountsync.domain.ledger import Correction, Evidence, LedgerOrder, NoGo, Tally, Written
from accountsync.domain.lifecycle import Refusal, correction, row_of
from accountsync.domain.parity import Look, Memory, collect, look, reckoned, tally_up
from accountsync.domain.policy import Parity
from accountsync.domain.sharing import Sharing, Sibling
from accountsync.domain.towards import astray

GRACE_MS = 5_000
SIGHTINGS = 3


@dataclass(slots=True)
class Keeper:
    """Looks after the ledger of `bot`. `writes`: whether anything may be written."""

    bot: Bot
    bots: list[Bot]
    market: Market
    dice: random.Random
    terms: Parity
    auditor: Auditor
    writes: bool
    corrects: bool
    faulty: bool = True
    memory: Memory = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    refusals: dict[str, Refusal] = field(default_factory=dict)
    _sighted: dict[str, int] = field(default_factory=dict)
    """Order → how often in a row it was not as the ledger has it."""

    def run(self) -> None:
        """One run."""
        snapshot = self.market.snapshot(faulty=self.faulty)
        self.market.now += self.dice.choice([0, 50, 400])
        self.bot.write()
        if snapshot is None:
            return
        if self.corrects:
            self._lifecycle(snapshot)
        self._heartbeat(snapshot)

    def restart(self) -> None:
        """Another process takes over."""
        self.memory, self._sighted = {}, {}

    # --- parity -------------------------------------------------------------------------------------------------------

    def _heartbeat(self, snapshot: AccountSnapshot) -> None:
        store, market = self.bot.store, self.market
        sharing = self._sharing()
        virtual = tally_up(store.slices())
        before = self.memory
        seen = look(
            virtual,
            snapshot,
            market.now,
            sharing,
            self.terms,
            before,
            grace_ms=GRACE_MS,
            traded=market.last(),
        )
        self.auditor.looked(self.bot, seen, before, snapshot, sharing)
        self.memory = seen.memory
        self._close(seen, shared=bool(sharing.siblings))

    def _close(self, seen: Look, *, shared: bool) -> None:
        store, closed = self.bot.store, 0
        no_go: dict[str, NoGo] = {}
        for slices in collect(store.slices(), seen.confirmed).values():
            rows = self._evidence(slices[0].symbol) if slices else None
            judgement = backfill(store.profile, slices, rows, self.terms, shared=shared)
            no_go |= judgement.no_go
            for exit_ in judgement.exits:
                if not self.writes or self.terms.dry_run:
                    continue
                self.auditor.closing(self.bot, exit_)
                if store.close(exit_) is Written.APPLIED:
                    closed += 1
                    self.auditor.closed[exit_.attribution] += 1
                    if store.close(exit_) is not Written.ALREADY:
                        self.auditor.say(f"{exit_.event_id} may be written twice")
        if not seen.blind:
            self.tally = reckoned(seen, no_go, closed)

    def _evidence(self, symbol: str) -> list[Evidence] | None:
        store, market = self.bot.store, self.market
        if self.faulty and self.dice.random() < 0.15:
            return None
        return evidence(
            (fill for fill in market.fills if fill.symbol == symbol),
            [order for order in store.orders.values() if order.symbol == symbol],
            client_ids={order.id: order.client_id for order in market.orders.values()},
            used={id_ for held, id_ in store.used if held == symbol},
            booked=store.told(symbol),
            slices=[each for each in store.slices() if each.symbol == symbol],
            sharing=self._sharing(),
            prefix=self.bot.prefix,
        )

    def _sharing(self) -> Sharing:
        siblings = []
        for bot in self.bots:
            if bot is self.bot:
                continue
            rows = tuple(
                ExpectedPosition(symbol, PositionSide.NET, quantity) for symbol, quantity in bot.store.net.items()
            )
            unknown = self.faulty and self.dice.random() < 0.08
            belief = None if unknown else ExpectedState(self.market.now, positions=rows)
            siblings.append(Sibling(bot.store.profile, bot.prefix, belief))
        return Sharing(tuple(siblings))

    # --- lifecycle ----------------------------------------------------------------------------------------------------

    def _lifecycle(self, snapshot: AccountSnapshot) -> None:
        """The lifecycle handlers, for what stood often enough to be confirmed."""
        store, sighted = self.bot.store, dict(self._sighted)
        self._sighted = {}
        due: list[Correction] = []
        for row in list(store.orders.values()):
            found = self.market.orders[row.exchange_id]
            if row.status is not OrderStatus.OPEN or (found.status, found.filled) == (row.status, row.filled):
                continue
            self._sighted[row.key] = sighted.get(row.key, 0) + 1
            if self._sighted[row.key] >= SIGHTINGS:
                due += self._judge(row, found)
        refused = astray(due, tally_up(store.slices()), snapshot, self._sharing())
        for change in due:
            if change.event_id in refused:
                self.refusals[change.order.key] = refused[change.event_id]
                continue
            self.refusals.pop(change.order.key, None)
            if self.writes and not store.moved(change):
                self.auditor.correcting(self.bot, change)
                if store.correct(change) is Written.APPLIED:
                    self.auditor.corrected[change.handler] += 1

    def _judge(self, row: LedgerOrder, found: Order) -> list[Correction]:
        store, market = self.bot.store, self.market
        rule = Rule.ORDER_DIVERGENCE if found.status is OrderStatus.OPEN else Rule.MISSING_ORDER
        finding = Finding(rule, row.symbol, row.exchange_id, client_id=row.client_id)
        change = correction(
            finding,
            row_of(finding, store.orders.values()),
            found,
            list(store.slices()),
            None if self.faulty and self.dice.random() < 0.15 else market.fills,
            profile=store.profile,
            used={id_ for symbol, id_ in store.used if symbol == row.symbol},
            booked=[each for each in store.told(row.symbol) if each.exchange_id == found.id],
            prefix=self.bot.prefix,
        )
        if isinstance(change, Correction):
            return [change]
        self.refusals[row.key] = change
        return []
