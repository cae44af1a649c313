"""Knows the truth of every fill, and whether what was done about the ledgers was right."""

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

from tests.simulation.ledgers.bot import Bot
from tests.simulation.ledgers.market import STEP, Market, Truth

from accountsync.domain.account import AccountSnapshot, Fill, Part
from accountsync.domain.ledger import Attribution, Correction, Handler, Purpose, Slice, SyntheticExit
from accountsync.domain.parity import GhostKey, Look, Memory
from accountsync.domain.policy import Parity
from accountsync.domain.sharing import Sharing

ZERO = Decimal(0)


@dataclass(slots=True)
class Auditor:
    """`wrong`: all that must hold and does not. `quarantined`: slices that stayed open in the end, for a reason."""

    market: Market
    bots: list[Bot]
    terms: Parity
    wrong: list[str] = field(default_factory=list)
    closed: Counter[Attribution] = field(default_factory=Counter)
    corrected: Counter[Handler] = field(default_factory=Counter)
    quarantined: int = 0
    _streaks: Counter[tuple[str, GhostKey]] = field(default_factory=Counter)
    """For how many looks each ghost stood, as far as the truth goes."""

    def say(self, text: str) -> None:
        """Something is wrong."""
        self.wrong.append(f"{self.market.now}: {text}")

    # --- looks --------------------------------------------------------------------------------------------------------

    def looked(self, bot: Bot, seen: Look, before: Memory, snapshot: AccountSnapshot, sharing: Sharing) -> None:
        """A look was had at the ledger of `bot`."""
        name = bot.store.profile
        unknown = any(sibling.belief is None for sibling in sharing.siblings)
        if unknown or Part.POSITIONS in snapshot.missing:
            if seen.confirmed or seen.memory != before:
                self.say(f"{name}: something was concluded though not all was known")
            return
        ghosts = {key for key in self.keys(bot) if self._flat(key, snapshot) and self.apart(key, bot)}
        for key in seen.memory.keys() - ghosts - seen.unknown:
            self.say(f"{name}: a ghost is seen in {key}, and there is none")
        for key in self.keys(bot):
            if key in ghosts:
                self._streaks[name, key] += 1
            elif key not in seen.unknown and key[0] not in snapshot.unsettled:
                self._streaks[name, key] = 0
        for key in seen.confirmed:
            if key not in ghosts or self._streaks[name, key] < self.terms.confirmations:
                self.say(f"{name}: {key} is confirmed after {self._streaks[name, key]} looks")

    def keys(self, bot: Bot) -> set[GhostKey]:
        """The positions that the ledger of `bot` has a part of."""
        return {(each.symbol, self.market.leg(each.side)) for each in bot.store.slices()}

    def apart(self, key: GhostKey, own: Bot) -> bool:
        """Whether the ledgers together hold anything there, and the one of `own` by itself does, too."""
        return all(abs(self._virtual(key, bots)) >= STEP for bots in (self.bots, [own]))

    def _virtual(self, key: GhostKey, bots: list[Bot]) -> Decimal:
        total = ZERO
        for each in (each for bot in bots for each in bot.store.slices()):
            if (each.symbol, self.market.leg(each.side)) == key:
                total += each.quantity if self.market.hedged else each.signed
        return total

    def _flat(self, key: GhostKey, snapshot: AccountSnapshot) -> bool:
        symbol, leg = key
        return not any(row.quantity for row in snapshot.positions if row.symbol == symbol and row.side is leg)

    # --- changes ------------------------------------------------------------------------------------------------------

    def closing(self, bot: Bot, exit_: SyntheticExit) -> None:
        """A slice is about to be closed."""
        each, name = exit_.slice, f"{bot.store.profile}: the exit of {exit_.slice.trade_id}"
        if sum((fill.quantity for fill in exit_.fills), ZERO) != each.quantity:
            self.say(f"{name} is not proven: {exit_.fills} of {each.quantity}")
        if self.terms.require_attribution and not each.sub_tag:
            self.say(f"{name} has no sub_tag")
        if not exit_.attribution.strong and not self.terms.heuristics:
            self.say(f"{name} is a guess")
        for fill in exit_.fills:
            self._unspent(bot, fill, name)
            truth = self.market.truth[fill.id]
            tagged = exit_.attribution is Attribution.SUB_TAG and truth.sub_tag == each.sub_tag
            if exit_.attribution.strong and (
                (truth.profile, truth.purpose) != (bot.store.profile, Purpose.EXIT)
                or not (truth.trade_id == each.trade_id or tagged)
            ):
                self.say(f"{name} is by {fill.id}, which is {truth}")
        if exit_.attribution.strong and bot.trades[each.trade_id].real:
            self.say(f"{name}: it is open")

    def correcting(self, bot: Bot, change: Correction) -> None:
        """An order is about to be corrected."""
        order, name = change.order, f"{bot.store.profile}: {change.handler} of {change.order.key}"
        for fill in change.fills:
            self._unspent(bot, fill, name)
            truth = self.market.truth[fill.id]
            if (truth.profile, truth.trade_id, truth.purpose) != (bot.store.profile, order.trade_id, order.purpose):
                self.say(f"{name} is by {fill.id}, which is {truth}")
        found = self.market.orders[change.exchange_id]
        known = [fill for fill in self.market.fills if fill.order_id == found.id and self._accounted(bot, fill)]
        if sum((fill.quantity for fill in (*known, *change.fills)), ZERO) != change.filled:
            self.say(f"{name} accounts for {change.fills} of {change.filled}")
        if (change.filled, change.status) != (found.filled, found.status):
            self.say(f"{name}: it is {found}")

    def _unspent(self, bot: Bot, fill: Fill, name: str) -> None:
        if fill.id in bot.store.booked or (fill.symbol, fill.id) in bot.store.used:
            self.say(f"{name}: {fill.id} is accounted for already")

    # --- the whole ----------------------------------------------------------------------------------------------------

    def balance(self) -> None:
        """What the ledgers hold open is what came in and went out by the fills that they accounted for."""
        if self.terms.heuristics:
            return
        for bot in self.bots:
            sums: Counter[tuple[str, str]] = Counter()
            store = bot.store
            for each in store.slices():
                sums[each.symbol, each.side] += each.quantity  # type: ignore[assignment]
            for fill in self.market.fills:
                truth = self.market.truth[fill.id]
                if truth.profile == store.profile and self._accounted(bot, fill):
                    side = bot.trades[truth.trade_id].slice.side
                    way = -1 if truth.purpose is Purpose.ENTRY else 1
                    sums[fill.symbol, side] += way * fill.quantity  # type: ignore[assignment]
            for key, total in sums.items():
                if total:
                    self.say(f"{store.profile}: the accounts of {key} are off by {total}")

    def _sole(self, bot: Bot, each: Slice) -> bool:
        """Whether its sub_tag leads to it alone, and no fill of another trade does."""
        like = [
            row
            for row in bot.store.slices()
            if (row.symbol, row.side, row.sub_tag) == (each.symbol, each.side, each.sub_tag)
        ]
        rivals = (
            truth
            for fill in self.market.fills
            for truth in (self.market.truth[fill.id],)
            if (truth.profile, truth.sub_tag) == (bot.store.profile, each.sub_tag)
            and self._tagged(bot, fill)
            and (fill.symbol, fill.side) == (each.symbol, each.side.exit)
            and truth.trade_id != each.trade_id
            and not self._accounted(bot, fill)
        )
        return bool(each.sub_tag) and len(like) == 1 and not any(rivals)

    def _tagged(self, bot: Bot, fill: Fill) -> bool:
        """Whether the ledger wrote the sub_tag to the order of this fill, and no trade."""
        return self.market.truth[fill.id].tagged and f"o{fill.order_id}" in bot.store.orders

    def told_of(self, bot: Bot, order_id: str) -> bool:
        """Whether the ledger of `bot` accounted for all fills of an order."""
        return all(self._accounted(bot, fill) for fill in self.market.fills if fill.order_id == order_id)

    def _accounted(self, bot: Bot, fill: Fill) -> bool:
        return fill.id in bot.store.booked or (fill.symbol, fill.id) in bot.store.used

    def lost(self, bot: Bot, trade_id: str) -> list[tuple[Fill, Truth]]:
        """The exits of a trade that its ledger does not know of."""
        rows = ((fill, self.market.truth[fill.id]) for fill in self.market.fills)
        return [
            (fill, truth)
            for fill, truth in rows
            if (truth.profile, truth.trade_id, truth.purpose) == (bot.store.profile, trade_id, Purpose.EXIT)
            and not self._accounted(bot, fill)
        ]

    def in_the_end(self, bot: Bot, no_go: set[str], *, writes: bool) -> None:
        """After a calm in which nothing was traded: all that can be proven is in the ledger, and the rest is told."""
        closes = writes and not self.terms.dry_run
        if (not writes and bot.store.writes) or (not closes and self.closed):
            self.say(f"{bot.store.profile}: it was written to")
        for each in bot.store.slices():
            key = (each.symbol, self.market.leg(each.side))
            if self.market.held[key] or not self.apart(key, bot):
                continue
            lost = self.lost(bot, each.trade_id)
            proven = sum((fill.quantity for fill, _ in lost), ZERO) == each.quantity
            allowed = bool(each.sub_tag or not self.terms.require_attribution)
            marked = all(truth.marked or (self._tagged(bot, fill) and self._sole(bot, each)) for fill, truth in lost)
            if proven and allowed and marked and closes:
                self.say(f"{bot.store.profile}: {each.trade_id} was never closed, though it is proven")
            if each.trade_id not in no_go and closes:
                self.say(f"{bot.store.profile}: {each.trade_id} stays open, and nobody is told why")
            self.quarantined += 1
