"""The life of one world of ledgers: bots that lose updates, an exchange that fails, and a calm in which all is settled.

`live` gives what came of it; what failed is in words, and the same seed does the same again.
"""

import random
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.simulation.ledgers.auditor import Auditor
from tests.simulation.ledgers.bot import Bot, liquidate, somebody_else_trades
from tests.simulation.ledgers.keeper import Keeper
from tests.simulation.ledgers.market import SYMBOLS, Market

from accountsync.domain.account import OrderStatus
from accountsync.domain.ledger import SliceSide
from accountsync.domain.policy import Parity

STORM = 70
CALM = 14
INTERVAL_MS = 15_000


@dataclass(slots=True)
class LedgerLife:
    """`done`: what was written to the ledgers, by kind. `quarantined`: slices that stayed open for a reason."""

    seed: int
    nature: str
    failure: str = ""
    done: Counter[str] = field(default_factory=Counter)
    quarantined: int = 0
    ghosts: int = 0

    def __str__(self) -> str:
        return f"ledgers of seed {self.seed}: {self.failure}\n    {self.nature}"


def live(seed: int, *, say: Callable[[str], None] | None = None) -> LedgerLife:
    """Live the world of ledgers of `seed`."""
    world = _World(random.Random(f"{seed} ledgers"))
    life = LedgerLife(seed, world.nature)
    try:
        world.storm()
        world.calm()
    except Exception as error:  # noqa: BLE001 - a bug of what is tried is a failure of its world
        where = traceback.extract_tb(error.__traceback__)[-1]
        world.auditor.say(f"raised {error!r} in {where.filename.rpartition('/')[2]}:{where.lineno}")
    life.failure = "; ".join(world.auditor.wrong[:3])
    life.done = Counter({str(what): count for what, count in (world.auditor.closed + world.auditor.corrected).items()})
    life.quarantined, life.ghosts = world.auditor.quarantined, world.ghosts
    if say is not None:
        for text in world.auditor.wrong or [f"{dict(life.done)}, {life.quarantined} quarantined"]:
            say(text)
    return life


class _World:
    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        guesses = dice.random() < 0.12
        self.terms = Parity(
            confirmations=dice.choice([1, 2, 3, 3, 4]),
            require_attribution=dice.random() < 0.7,
            strong_only=not guesses,
            heuristics=guesses,
            fill_grace_ms=dice.choice([10_000, 60_000]),
            dry_run=dice.random() < 0.06,
        )
        self.market = Market(random.Random(dice.random()), hedged=dice.random() < 0.3)
        loses, both = dice.choice([0.1, 0.3, 0.6]), dice.random() < 0.5
        self.bots = [
            Bot(number, self.market, random.Random(dice.random()), loses, both)
            for number in range(dice.choice([1, 1, 2, 3]))
        ]
        self.auditor = Auditor(self.market, self.bots, self.terms)
        self.writes, corrects = dice.random() < 0.92, dice.random() < 0.6
        self.keepers = [
            Keeper(
                bot,
                self.bots,
                self.market,
                random.Random(dice.random()),
                self.terms,
                self.auditor,
                self.writes,
                corrects,
            )
            for bot in self.bots
        ]
        self.ghosts = 0
        self.nature = (
            f"{len(self.bots)} bots that lose {loses}, {'hedge' if self.market.hedged else 'one-way'} mode,"
            f" {'writes' if self.writes else 'observes'}, {'corrects' if corrects else 'heartbeat only'}, {self.terms}"
        )

    def round(self) -> None:
        """An interval, with a run for each ledger."""
        for keeper in self.keepers:
            self.market.now += INTERVAL_MS // len(self.keepers)
            keeper.bot.write()
            keeper.run()
            self.ghosts = max(self.ghosts, keeper.tally.ghosts)

    def storm(self) -> None:
        """Everybody trades, much is lost, and the exchange fails."""
        dice, market = self.dice, self.market
        for _ in range(STORM):
            for bot in self.bots:
                if dice.random() < 0.45:
                    bot.act()
            if dice.random() < 0.05:
                liquidate(market, self.bots, dice.choice(SYMBOLS), dice.choice(list(SliceSide)))
            if dice.random() < 0.06:
                somebody_else_trades(market, dice)
            if dice.random() < 0.3:
                dice.choice(self.bots).forget(self.terms.fill_grace_ms)
            if dice.random() < 0.03:
                dice.choice(self.keepers).restart()
            if dice.random() < 0.1:
                market.now += dice.choice([200, 120_000])
            self.round()
        self.auditor.balance()

    def calm(self) -> None:
        """All positions are closed, one way or another, and nothing is traded any more."""
        for bot in self.bots:
            for trade in bot.trades.values():
                if trade.real:
                    bot.leave(trade, trade.real)
        for keeper in self.keepers:
            keeper.faulty = False
        self.market.now += 60_000
        for _ in range(CALM):
            self.round()
        self.auditor.balance()
        for keeper in self.keepers:
            self.auditor.in_the_end(keeper.bot, set(keeper.tally.no_go), writes=self.writes)
            self._orders_agree(keeper)

    def _orders_agree(self, keeper: Keeper) -> None:
        for row in keeper.bot.store.orders.values():
            found = self.market.orders[row.exchange_id]
            over = row.status is OrderStatus.OPEN and found.status is not OrderStatus.OPEN
            told = self.auditor.told_of(keeper.bot, row.exchange_id) and row.key not in keeper.bot.store.torn
            never = row.key in keeper.bot.store.torn and row.trade_id in keeper.bot.store.over
            refused = never or (row.key in keeper.refusals and not told)
            if over and keeper.corrects and self.writes and not refused:
                self.auditor.say(f"{row.key} is {found.status}, and the ledger was never told")
