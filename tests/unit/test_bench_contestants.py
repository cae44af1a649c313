"""What `make bench-detect` measures finds the same, or its figures say nothing."""

import pytest
from tests.bench.book import book
from tests.bench.joins import bare_join, judging


@pytest.mark.parametrize("differing", [False, True])
@pytest.mark.parametrize("orders", [100, 1_000])
def test_detection_finds_what_a_bare_join_finds(orders: int, differing: bool) -> None:
    both = book(orders, differing=differing, one_in=10)
    assert len(bare_join(both.snapshot.orders, both.belief.orders or ())) == (orders // 10 if differing else 0)
    judging(both)(1)  # raises where it finds another number of differences
