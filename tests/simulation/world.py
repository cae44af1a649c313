"""Everything that a seed makes, and the hours in it: storms, in which all goes wrong but the truth, and calm."""

import asyncio
import random
from collections import deque
from collections.abc import Callable

from tests.simulation.bot import Bot
from tests.simulation.exchange import Account
from tests.simulation.faults import Port
from tests.simulation.nature import Nature
from tests.simulation.observer import Observer
from tests.simulation.timeline import Timeline
from tests.simulation.trading import Trader
from tests.simulation.virtual import VirtualClock

from accountsync.domain.catalogue import Rule
from accountsync.domain.finding import Finding
from accountsync.domain.holds import Source

REMEMBERED = 60
"""Lines of history that a failure is told with."""


class World:
    """One exchange account, its bots, and the operator that looks after all of them."""

    def __init__(self, seed: int) -> None:
        self.dice = _dice(seed, "world")
        self.nature = nature = Nature.of(_dice(seed, "nature"))
        self.timeline = Timeline()
        self.account = Account(nature.lists_flat, nature.bots)
        self.trader = Trader(self.account, self.timeline, _dice(seed, "trader"), nature)
        self.port = Port(self.account, self.timeline, _dice(seed, "port"), nature)
        self.clock = VirtualClock()
        self.bots = [
            Bot(number, self.account, self.timeline, _dice(seed, f"bot-{number}"), nature, nature.trouble)
            for number in range(nature.bots)
        ]
        self.observers = [Observer(bot.number, nature, self.account, self.port, bot, self.clock) for bot in self.bots]
        self.history: deque[str] = deque(maxlen=REMEMBERED)
        self.allowed: list[frozenset[Rule]] = [frozenset() for _ in self.bots]
        self.foreign: set[str] = set()
        self.stormy = False
        self.aloud: Callable[[str], None] | None = None
        for observer in self.observers:
            observer.siblings = [other for other in self.observers if other is not observer]
            observer.say = self.say
            observer.forgives = lambda finding, number=observer.number: self._is_right(number, finding)  # type: ignore[misc]

    # --- what is right to say -----------------------------------------------------------------------------------------

    def _is_right(self, number: int, finding: Finding) -> bool:
        if finding.rule in self.allowed[number]:
            return True
        return finding.rule is Rule.UNATTRIBUTED_FILL and finding.id in self.foreign | self.liquidations

    @property
    def liquidations(self) -> set[str]:
        """What the exchange did by itself, as findings name it."""
        return {f"fill:{fill.id}" for fill in self.trader.forced}

    # --- time ---------------------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """For the history."""
        line = f"{asyncio.get_running_loop().time():10.2f}  {text}"
        self.history.append(line)
        if self.aloud is not None:
            self.aloud(line)

    async def cycle(self) -> None:
        """An interval, with a cycle of each observer."""
        loop = asyncio.get_running_loop()
        share = self.nature.interval / len(self.observers)
        for observer in self.observers:
            began = loop.time()
            await observer.turn()
            await asyncio.sleep(max(0.0, share - (loop.time() - began)))
            if self.stormy:
                self._misfortune()

    def storm(self) -> None:
        """From now on the exchange fails, bots crash, clocks jump and the operator restarts."""
        self.say("storm")
        self.stormy = True
        self.trader.liquidates = self.nature.liquidations
        self.port.trouble = self.nature.trouble
        for bot in self.bots:
            bot.calm = False

    def calm(self) -> None:
        """No more faults, and bots that publish often."""
        self.say("calm")
        self.stormy = self.trader.liquidates = False
        self.port.trouble = 0.0
        self.clock.offset_ms = 0
        self.timeline.catch_up(asyncio.get_running_loop().time())
        for bot in self.bots:
            bot.calm_down()

    def _misfortune(self) -> None:
        if self.nature.restarts and self.dice.random() < 0.03:
            self.restart()
        if self.nature.clock_jumps and self.dice.random() < 0.05:
            self.jump(self.dice.choice([0, 0, *(self.dice.randint(-300_000, 300_000) for _ in range(2))]))
        elif self.nature.clock_jumps and self.dice.random() < 0.05:
            self.jump(self.dice.randint(-4_000, 15_000))

    def jump(self, offset_ms: int) -> None:
        """The operator's wall clock is off by so much from now on."""
        self.say(f"the operator's clock is {offset_ms / 1000:+g} s off")
        self.clock.offset_ms = offset_ms

    def restart(self) -> None:
        """The operator's process, with all its accounts, starts anew."""
        for observer in self.observers:
            observer.restart()

    @property
    def watched(self) -> bool:
        """Whether a watchdog stops a bot now."""
        return any(Source.WATCHDOG in observer.state.holds for observer in self.observers)

    @property
    def wrong(self) -> list[str]:
        """All that must hold and does not."""
        return [text for observer in self.observers for text in observer.wrong]


def _dice(seed: int, name: str) -> random.Random:
    return random.Random(f"{seed} {name}")
