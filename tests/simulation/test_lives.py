"""No bot is accused that only catches up, and nothing that is truly wrong goes unfound: in many worlds, by seeds.

`make simulate SEEDS=2000` lives more of them, `make simulate SEED=1234` tells one as it happens.
"""

import pytest
from tests.simulation.drifts import KINDS
from tests.simulation.life import Life, live
from tests.simulation.tally import Tally

from accountsync.domain.catalogue import Rule
from accountsync.domain.plan import RepairKind

SEEDS = 120
MOST_PLACES = 22
"""Calls of the action path, each before and after it took effect."""


@pytest.fixture(scope="module")
def tally() -> Tally:
    return Tally().add(live(seed) for seed in range(SEEDS))


def test_everything_that_must_hold_holds(tally: Tally) -> None:
    if tally.failed:
        pytest.fail(f"{len(tally.failed)} of {SEEDS} worlds\n" + "\n".join(map(str, tally.failed[:5])))


def test_all_that_was_wrong_was_found(tally: Tally) -> None:
    assert tally.found == tally.injected


def test_each_kind_of_wrong_was_done(tally: Tally) -> None:
    assert set(tally.injected) == {kind.name for kind in KINDS}


def test_every_rule_of_the_catalogue_was_found(tally: Tally) -> None:
    assert tally.rules == set(Rule)


def test_a_storm_is_no_calm(tally: Tally) -> None:
    """Worlds in which nothing happens would prove nothing."""
    assert tally.complete > tally.cycles / 2, tally.report(1)
    assert tally.doubtful > tally.cycles / 10, tally.report(1)
    assert tally.restarts > SEEDS / 4, tally.report(1)
    assert min(tally.faults.values()) > SEEDS / 10, tally.faults


def test_watchdogs_stop_bots_and_let_them_go(tally: Tally) -> None:
    assert tally.barks["raised"] > SEEDS / 2, tally.report(1)
    assert min(tally.barks["ended by itself"], tally.barks["ended by a person"]) > SEEDS / 10, tally.report(1)


def test_what_is_wrong_is_dealt_with(tally: Tally) -> None:
    """Worlds in which nothing is done would prove nothing about what is done."""
    for deed in ("Cancel sent", "Flatten sent", "plans Done", "plans Expired", "plans Refused", "plans DryRun"):
        assert tally.deeds[deed] > SEEDS / 20, tally.report(1)
    for kind in RepairKind:
        assert tally.deeds[f"repaired {kind}"], tally.report(1)


def test_the_operator_dies_and_is_stopped_all_along_the_way_of_an_action(tally: Tally) -> None:
    assert tally.struck.total() > SEEDS / 4, tally.report(1)
    fates = {where.partition(" at ")[0] for where in tally.struck}
    places = {where.partition(" at ")[2] for where in tally.struck}
    assert fates == {"killed", "stopped", "stopped for long"}
    assert len(places) > MOST_PLACES / 2, places


def test_a_seed_makes_the_same_world_twice() -> None:
    def told(seed: int) -> tuple[list[str], Life]:
        lines: list[str] = []
        return lines, live(seed, say=lines.append)

    assert told(7) == told(7)
    assert told(7) != told(8)
