"""A bot that truthfully catches up is never accused, however late it is and whatever the exchange does.

ACCOUNTSYNC_SEEDS=5000      how many worlds to try; 200 if not said
ACCOUNTSYNC_FIRST_SEED=17   where to begin: with ACCOUNTSYNC_SEEDS=1 it repeats one world
"""

import os
from dataclasses import dataclass

import pytest
from tests.simulation.virtual import run_virtually
from tests.simulation.world import World

from accountsync.cycle import Cycle, State
from accountsync.domain.catalogue import CATALOGUE
from accountsync.domain.holds import Source
from accountsync.errors import Reason

SEEDS = int(os.environ.get("ACCOUNTSYNC_SEEDS", "200"))
FIRST = int(os.environ.get("ACCOUNTSYNC_FIRST_SEED", "0"))
CYCLES = 200


@dataclass(slots=True)
class Tally:
    """What was tried, so that a world in which nothing happens does not pass for a safe one."""

    cycles: int = 0
    complete: int = 0
    doubtful: int = 0

    def count(self, cycle: Cycle) -> None:
        self.cycles += 1
        self.complete += cycle.complete
        self.doubtful += cycle.complete and bool(cycle.state.tracks)


def unlearned(before: State, cycle: Cycle) -> list[str]:
    """What a cycle changed that it could not know."""
    if cycle.complete:
        return []
    wrong: list[str] = []
    unread = cycle.exchange is not None and cycle.exchange.reason is not Reason.SNAPSHOT_REFUSED
    if unread and cycle.state.tracks != before.tracks:
        wrong.append("tracks changed, and the exchange was not read")
    if _compared(cycle.state) != _compared(before):
        wrong.append("tracks of comparison changed, and the two sides were not both known")
    changed = {source for source in Source if (source in before.holds) != (source in cycle.state.holds)}
    if changed - {Source.STALE, Source.STARTUP}:
        wrong.append(f"holds changed: {sorted(changed)}")
    return wrong


def _compared(state: State) -> dict[str, object]:
    return {key: track for key, track in state.tracks.items() if not CATALOGUE[track.finding.rule].at_once}


async def trade_truthfully(seed: int, tally: Tally) -> str:
    """What went wrong in the world of `seed`."""
    async with World(seed) as world:
        for number in range(CYCLES):
            before = world.observer.state
            cycle = await world.observer.turn()
            tally.count(cycle)
            wrong = [*world.observer.confirmed, *unlearned(before, cycle)]
            if wrong:
                return f"seed {seed}, cycle {number}, {world.nature}: {'; '.join(wrong)}"
    return ""


def test_a_truthful_bot_is_never_accused(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally()
    seeds = range(FIRST, FIRST + SEEDS)
    failed = [failure for seed in seeds if (failure := run_virtually(trade_truthfully(seed, tally)))]
    if failed:
        pytest.fail(f"{len(failed)} of {SEEDS} worlds; repeat with ACCOUNTSYNC_FIRST_SEED\n" + "\n".join(failed[:10]))
    if SEEDS > 1:
        assert tally.complete > tally.cycles / 3, tally
        assert tally.doubtful > tally.cycles / 20, tally
    with capsys.disabled():
        if SEEDS > 200:
            print(f"\n{SEEDS} worlds, {tally}")


def test_a_seed_makes_the_same_world_twice() -> None:
    def history(seed: int) -> list[tuple[float, object]]:
        async def live() -> list[tuple[float, object]]:
            async with World(seed) as world:
                return [(world.observer.clock.monotonic(), await world.observer.turn()) for _ in range(30)]

        return run_virtually(live())

    assert history(7) == history(7)
    assert history(7) != history(8)
