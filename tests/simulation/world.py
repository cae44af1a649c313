"""Everything that a seed makes, and the hours in it: storms, in which all goes wrong but the truth, and calm."""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from typing import Any

from tests.simulation.bot import Bot
from tests.simulation.exchange import Account
from tests.simulation.faults import MARKS, Port
from tests.simulation.nature import Nature
from tests.simulation.observer import Observer
from tests.simulation.office import Office
from tests.simulation.process import LATEST, LEASE, Process
from tests.simulation.timeline import Timeline
from tests.simulation.trading import Trader
from tests.simulation.virtual import VirtualClock
from tests.support.fakes import BTC

from accountsync.domain.catalogue import Rule
from accountsync.domain.finding import Finding
from accountsync.domain.holds import Source

REMEMBERED = 60
"""Lines of history that a failure is told with."""
AT_ONCE = 6
"""Cycles that follow one another because there is more to do, before the interval ends."""
SPACING = 0.5
SAFE = (0.0,)
DANGERS = (0.0, 0.03, 0.08, 0.25)
"""Chances, at each call of the action path, that the process ends there, or is stopped: one of them for each life."""


class World:
    """One exchange account, its bots, and the operator that looks after all of them."""

    def __init__(self, seed: int) -> None:
        self.dice = _dice(seed, "world")
        self.nature = nature = Nature.of(_dice(seed, "nature")).armed(_dice(seed, "arms"))
        self.timeline = Timeline()
        self.account = Account(nature.lists_flat, nature.bots, MARKS[BTC] if nature.acts else None)
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
        self.dangers: tuple[float, ...] = SAFE
        self.struck: Counter[str] = Counter()
        self.mishaps: Counter[str] = Counter()
        self.process = Process(1, 0.0, _dice(seed, "fate-1"), self.struck)
        self._fates = _dice(seed, "fates")
        self._stopped: list[asyncio.Future[None]] = []
        self.wrong_in_the_end: list[str] = []
        self.offices = [Office(self, observer, _dice(seed, f"office-{observer.number}")) for observer in self.observers]
        self._furnish()

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
            for _ in range(AT_ONCE):
                if observer.again is None or loop.time() - began + observer.again >= share - SPACING:
                    break
                await asyncio.sleep(max(observer.again, SPACING))
                await observer.turn()
            await asyncio.sleep(max(0.0, share - (loop.time() - began)))
            if self.stormy:
                self._misfortune()
        for office in self.offices:
            office.people()

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
        for office in self.offices:
            office.calm()
        self.dangers = SAFE
        self.process.danger = 0.0

    def mischance(self) -> None:
        """From now on requests are lost, and the operator dies or is stopped while it acts."""
        for office in self.offices:
            office.mischance()
        self.dangers = DANGERS if self.nature.crashes else SAFE
        self.process.danger = self._fates.choice(self.dangers)

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
        self.process.alive = self.process.lost.done()
        now = asyncio.get_running_loop().time()
        epoch = self.process.epoch + 1
        dice = random.Random(self._fates.random())
        self.process = Process(epoch, now + LEASE + LATEST, dice, self.struck)
        for observer in self.observers:
            observer.restart()
        self._furnish()

    def _furnish(self) -> None:
        self.process.danger = self._fates.choice(self.dangers)
        for office in self.offices:
            office.open(self.process)

    async def survives(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do `work` in the process that lives; False where it does not live, or has lost its accounts, after it."""
        process, task = self.process, asyncio.ensure_future(work)
        await asyncio.wait({task, process.lost}, return_when=asyncio.FIRST_COMPLETED)
        if process.lost.done():
            self.say(f"{process.name} is stopped")
            task.add_done_callback(self._goes_on)
            self._stopped.append(task)
            await asyncio.sleep(max(0.0, process.expiry - asyncio.get_running_loop().time()))
        elif not process.alive:
            task.exception()
            self.say(f"{process.name} is killed")
        else:
            task.result()
            return True
        self.restart()
        return False

    def _goes_on(self, task: asyncio.Future[None]) -> None:
        """A process that was stopped, and lost its accounts meanwhile, has come to the end of what it was doing."""
        if not task.cancelled() and task.exception() is not None:
            self.wrong_in_the_end.append(f"a process that was stopped ended with {task.exception()!r}")

    @property
    def watched(self) -> bool:
        """Whether a watchdog stops a bot now."""
        return any(Source.WATCHDOG in observer.state.holds for observer in self.observers)

    @property
    def wrong(self) -> list[str]:
        """All that must hold and does not."""
        told = [text for observer in self.observers for text in observer.wrong]
        return [*told, *(text for bot in self.bots for text in bot.wrong), *self.wrong_in_the_end]


def _dice(seed: int, name: str) -> random.Random:
    return random.Random(f"{seed} {name}")
