"""No slice of a ledger is closed without proof, and all that is proven is closed: in many worlds, by seeds.

`make simulate SEEDS=2000` lives more of them.
"""

from collections import Counter

import pytest
from tests.simulation.ledgers.life import LedgerLife, live

from accountsync.domain.ledger import Attribution, Handler

SEEDS = 100
SIMULATED = (*(how for how in Attribution if how.strong), Handler.ENTRY_FILL, Handler.EXIT_FILL, Handler.CANCEL)


@pytest.fixture(scope="module")
def lives() -> list[LedgerLife]:
    return [live(seed) for seed in range(SEEDS)]


def test_everything_that_must_hold_of_ledgers_holds(lives: list[LedgerLife]) -> None:
    failed = [str(life) for life in lives if life.failure]
    assert not failed, "\n".join(failed[:5])


def test_ledgers_are_put_right_in_every_way(lives: list[LedgerLife]) -> None:
    """Worlds in which nothing is written would prove nothing about what is written."""
    done = sum((life.done for life in lives), Counter[str]())
    for what in SIMULATED:
        assert done[what] > SEEDS / 10, done


def test_what_is_not_proven_stays_open(lives: list[LedgerLife]) -> None:
    assert sum(life.quarantined for life in lives) > SEEDS / 2
    assert sum(life.ghosts > 0 for life in lives) > SEEDS / 2


def test_a_seed_makes_the_same_world_of_ledgers_twice() -> None:
    assert live(7) == live(7)
    assert live(7) != live(8)
