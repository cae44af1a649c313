"""The simulation notices a bug: some of the mutants; `make simulate-mutants` tries all of them."""

import pytest
from tests.simulation.mutants.judging import judge, names

QUICK = [
    "act-before-it-is-written",
    "act-does-not-wait-for-the-bot",
    "income-sign-flipped",
    "ledger-used-fills-ignored",
    "restart-repeats-alerts",
    "successor-not-followed",
]


@pytest.mark.parametrize("mutant", QUICK)
def test_a_bug_is_noticed(mutant: str) -> None:
    verdict = judge(mutant)
    assert verdict.caught, verdict


def test_there_are_enough_of_them() -> None:
    assert len(names()) >= 60
