"""The life of one world: storms in which nobody may be accused, then wrongs that must be found, and put right.

`live` gives what came of it; what failed is in words, and the same seed does the same again.
"""

import asyncio
import gc
import math
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.simulation.drifts import KINDS, Injected, Kind
from tests.simulation.nature import GRACE_MS
from tests.simulation.process import LATEST, LEASE
from tests.simulation.virtual import run_virtually
from tests.simulation.world import World
from tests.support.fakes import ETH

from accountsync.domain.catalogue import CATALOGUE, Rule

STORM_CYCLES = 70
WRONGS = 3
WRONGS_TO_ACT_ON = 4
A_TEST_OF_THE_GRACE = next(kind for kind in KINDS if kind.name == "an old order that the bot forgets")
"""Where the object is old, nothing but the grace since first sight makes it wait, which a clock's jump must not end."""
CLEANING = 60
"""Cycles in which all must be well again after a storm."""
DEALING = 14
"""Cycles in which something is done about a wrong, and goes wrong."""
SETTLING = 3 * (LEASE + LATEST) + 130.0
"""Seconds in which it is known what became of all that was done: plans wait two minutes to be verified."""


class Failed(Exception):  # noqa: N818 - what a world shows
    """Something that must hold does not."""


@dataclass(slots=True)
class Life:
    """`found`: kinds of wrongs → how many were found. `hours`: of all accounts that the operator looked after.

    `barks`: of the watchdogs. `deeds`: what was done, by kind. `struck`: where the operator died or was stopped.
    `mishaps`: of requests.
    """

    seed: int
    nature: str
    interval: int
    failure: str = ""
    hours: float = 0.0
    cycles: int = 0
    complete: int = 0
    doubtful: int = 0
    restarts: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    rules: set[str] = field(default_factory=set)
    barks: Counter[str] = field(default_factory=Counter)
    deeds: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    mishaps: Counter[str] = field(default_factory=Counter)
    history: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = "\n    ".join(self.history[-25:])
        return f"seed {self.seed}: {self.failure}\n    {self.nature}\n    {told}"


def live(seed: int, *, say: Callable[[str], None] | None = None) -> Life:
    """Live the world of `seed`."""
    gc.disable()  # a world is small, and gone as a whole
    try:
        return run_virtually(_live(seed, say))
    finally:
        gc.enable()


async def _live(seed: int, say: Callable[[str], None] | None) -> Life:
    world = World(seed)
    if say is not None:
        world.aloud = say
    life = Life(seed, str(world.nature), world.nature.interval)
    try:
        await _Story(world, life).tell()
    except Failed as failure:
        life.failure = str(failure)
    except Exception as error:  # noqa: BLE001 - a bug of what is tried is a failure of its world
        where = traceback.extract_tb(error.__traceback__)[-1]
        life.failure = f"raised {error!r} in {where.filename.rpartition('/')[2]}:{where.lineno}"
    life.hours = asyncio.get_running_loop().time() / 3600 * len(world.observers)
    for observer in world.observers:
        life.cycles += observer.cycles
        life.complete += observer.complete
        life.doubtful += observer.doubtful
        life.restarts += observer.restarts
        life.barks += observer.guard.barks
        life.rules.update(key.split("|", 1)[0] for key in observer.ever)
    life.faults = world.port.served
    life.struck, life.mishaps = world.struck, world.mishaps
    for office in world.offices:
        life.deeds += office.reckoned
    life.history = list(world.history)
    return life


class _Story:
    def __init__(self, world: World, life: Life) -> None:
        self.world, self.life = world, life

    async def tell(self) -> None:
        world = self.world
        world.storm()
        for _ in range(STORM_CYCLES // 3 if world.nature.acts else STORM_CYCLES):
            await self.cycle()
        await self.all_is_well_again()
        self.liquidations_were_told()
        world.trader.symbols = [ETH]
        kinds = [kind for kind in KINDS if kind.possible(world.nature)]
        chosen = world.dice.sample(kinds, WRONGS)
        if world.nature.acts:
            chosen[1:] = world.dice.choices(kinds, [kind.remedied for kind in kinds], k=WRONGS_TO_ACT_ON)
        if world.nature.clock_jumps and world.nature.interval < GRACE_MS / 1000:
            chosen[0] = A_TEST_OF_THE_GRACE
        for kind in chosen:
            await self.something_goes_wrong(kind)
            await self.all_is_well_again()

    async def cycle(self) -> None:
        await self.world.cycle()
        if self.world.wrong:
            raise Failed("; ".join(self.world.wrong))

    async def until(self, condition: Callable[[], bool], cycles: int) -> bool:
        for _ in range(cycles):
            if condition():
                return True
            await self.cycle()
        return condition()

    @property
    def bound(self) -> int:
        """Cycles: a belief of the grace after the change, a snapshot of the grace after that belief, and the looks."""
        nature = self.world.nature
        shared = 2 if nature.bots > 1 else 0
        return 2 * math.ceil(nature.reach / nature.interval) + nature.policy.confirmations + 1 + shared

    # --- the chapters -------------------------------------------------------------------------------------------------

    async def all_is_well_again(self) -> None:
        """Calm, with nothing traded for a while, resolves everything; then the bots go on."""
        world = self.world
        world.calm()
        world.trader.quiet = True

        def well() -> bool:
            free = not any(observer.confirmed or observer.state.holds for observer in world.observers)
            return free and not any(office.under_way for office in world.offices)

        for number in range(self.bound):  # until then something may still come to light
            if number == 1 and world.nature.restarts and world.watched:
                world.restart()
            await self.cycle()
        if not await self.until(well, CLEANING + (self.settling if world.nature.acts else 0)):
            left = [(observer.confirmed, dict(observer.state.holds)) for observer in world.observers]
            raise Failed(f"not well again: {left}, {[office.under_way for office in world.offices]}")
        world.trader.quiet = False

    def liquidations_were_told(self) -> None:
        world = self.world
        nature = world.nature
        unseen = not nature.lists_flat  # see drifts._hold_something
        if not nature.tells_fills or unseen:
            return
        told = {key.rsplit("|", 1)[1] for observer in world.observers for key in observer.ever}
        missed = world.liquidations - told
        if missed:
            raise Failed(f"a liquidation that nobody was told of: {sorted(missed)}")

    async def something_goes_wrong(self, kind: Kind) -> None:
        world, dice, nature = self.world, self.world.dice, self.world.nature
        world.trader.busy = kind.busy
        if "wallet" in kind.name and (not nature.tells_income or nature.bots > 1):
            world.trader.quiet = True  # nothing but stillness proves a balance there
        for _ in range(3):
            await self.cycle()
        world.timeline.catch_up(asyncio.get_running_loop().time())
        injected = self.inject(kind)
        self.life.injected[kind.name] += 1
        cycles = self.bound * (3 if kind.busy else 1) + kind.patience
        if nature.acts:
            world.mischance()
            cycles = 3 * cycles + self.settling
        cycles += await self.misfortunes(injected)
        if not await self.until(lambda: self.turn(injected) or self.all_found(injected), cycles):
            found = [[str(finding.rule) for finding in observer.confirmed] for observer in world.observers]
            raise Failed(f"{kind.name}: {sorted(injected.rules)} was to be found in {self.bound} cycles, not {found}")
        self.life.found[kind.name] += 1
        # Two bots' income may explain anything for a while, and whoever has a stake in a position tells of it.
        fickle = nature.bots > 1 and injected.rules & {Rule.BALANCE_MISMATCH, Rule.POSITION_MISMATCH}
        if nature.acts:
            await self.it_is_dealt_with()
        elif injected.goes_on and not fickle and dice.random() < 0.4:
            await self.it_stands_in_a_storm(injected)
        self.put_right(injected)
        for _ in range(self.bound + 1 + kind.patience):
            if not any(observer.confirmed for observer in world.observers):
                break
            await self.cycle()
        left = [finding.key for observer in world.observers for finding in observer.confirmed]
        if left and not (world.trader.busy or not injected.goes_on):
            raise Failed(f"{kind.name} was put right, and is not resolved: {left}")
        world.allowed = [frozenset() for _ in world.bots]
        world.trader.busy = False

    async def misfortunes(self, injected: Injected) -> int:
        """What may befall the operator after its first sight of a wrong, in so many cycles."""
        world, dice, nature = self.world, self.world.dice, self.world.nature
        cycles = 0
        for wanted, misfortune in (
            (nature.restarts, world.restart),
            (nature.clock_jumps, lambda: world.jump(dice.randint(2_000, 15_000))),
        ):
            if wanted and dice.random() < 0.5:
                await self.cycle()
                self.turn(injected)
                misfortune()
                cycles += 1
        return cycles

    def inject(self, kind: Kind) -> Injected:
        world = self.world
        with world.trader.now():
            injected = kind.inject(world)
        world.say(f"WRONG: {kind.name}, by {sorted(injected.rules)}")
        mine = [injected.number in (None, observer.number) for observer in world.observers]
        rules = injected.rules - {Rule.UNATTRIBUTED_FILL}
        world.allowed = [rules if right else frozenset() for right in mine]
        world.foreign = injected.foreign
        for observer in world.observers:
            observer.lately.clear()
        return injected

    def turn(self, injected: Injected) -> bool:
        """What else belongs to the wrong, a cycle later."""
        if injected.turns:
            with self.world.trader.now():
                injected.turns.pop()()
        return False

    def all_found(self, injected: Injected) -> bool:
        standing = {finding.rule for observer in self.world.observers for finding in observer.confirmed}
        if self.world.nature.acts:  # it may have been put right already
            standing |= {Rule(key.split("|", 1)[0]) for observer in self.world.observers for key in observer.lately}
        told = {key.rsplit("|", 1)[1] for observer in self.world.observers for key in observer.ever}
        if Rule.UNATTRIBUTED_FILL in injected.rules and not injected.turns and injected.foreign <= told:
            standing.add(Rule.UNATTRIBUTED_FILL)
        return standing >= injected.rules

    async def it_is_dealt_with(self) -> None:
        """Something is done about what is wrong, or not, and the worst befalls whoever does it."""
        world = self.world
        world.storm()
        world.trader.liquidates = False
        for _ in range(DEALING):
            await self.cycle()
        world.calm()

        def known() -> bool:
            return not any(office.unknown for office in world.offices)

        for _ in range(self.bound):
            await self.cycle()
        if not await self.until(known, self.settling):
            raise Failed(f"never known what became of {[office.unknown for office in world.offices]}")

    @property
    def settling(self) -> int:
        """Cycles after which it must be known what became of all that was done."""
        return math.ceil(SETTLING / self.world.nature.interval) + 10

    async def it_stands_in_a_storm(self, injected: Injected) -> None:
        """What is wrong stays told as long as it is wrong, whatever happens."""
        world = self.world
        rules = frozenset(
            rule for rule in injected.rules if not CATALOGUE[rule].at_once and rule is not Rule.UNATTRIBUTED_FILL
        )
        for observer in world.observers:
            observer.to_stand = rules & {finding.rule for finding in observer.confirmed}
        world.storm()
        world.trader.liquidates = False
        for _ in range(10):
            await self.cycle()
        world.calm()
        for observer in world.observers:
            observer.to_stand = frozenset()

    def put_right(self, injected: Injected) -> None:
        self.world.say("put right")
        with self.world.trader.now():
            injected.end()
            for office in self.world.offices:
                office.own_up(injected.number or 0)
