"""Detect and confirm, and the bare dictionary join that they are measured beside."""

from collections.abc import Callable, Iterable
from typing import Any

from tests.bench.book import START_MS, Book

from accountsync.domain.account import Order
from accountsync.domain.confirm import Moment, confirm
from accountsync.domain.detect import detect
from accountsync.domain.expected import ExpectedOrder
from accountsync.domain.policy import Mode, Policy

POLICY = Policy(mode=Mode.PAUSE, order_id_prefix="grinder_")


def bare_join(listed: Iterable[Order], believed: Iterable[ExpectedOrder]) -> list[Order | ExpectedOrder]:
    """What differs, by key."""
    rest = {(order.symbol, order.id): order for order in listed}
    differing: list[Order | ExpectedOrder] = []
    for belief in believed:
        order = rest.pop((belief.symbol, belief.id), None)
        if (
            order is None
            or order.quantity != belief.quantity
            or order.filled != belief.filled
            or order.price != belief.price
            or order.status is not belief.status
            or order.side is not belief.side
        ):
            differing.append(belief)
    return [*differing, *rest.values()]


def judging(both: Book) -> Callable[[int], None]:
    """Detect and confirm, with the tracks of a pass before."""

    def judge(tracks: Any, step: int) -> Any:
        moment = Moment(START_MS + step, START_MS + step, START_MS + step, START_MS + step, step / 1000)
        detection = detect(both.snapshot, both.belief, POLICY, both.answers)
        return confirm(tracks, detection, moment, grace_ms=POLICY.order_grace_ms, confirmations=2).tracks

    tracks = judge({}, 0)
    expected = len(bare_join(both.snapshot.orders, both.belief.orders or ()))
    if len(tracks) != expected:
        raise RuntimeError(f"found {len(tracks)} differences, the bare join {expected}: their speeds say nothing")

    def work(loops: int) -> None:
        for _ in range(loops):
            judge(tracks, 15_000)

    return work


def joining(both: Book) -> Callable[[int], None]:
    """The bare dictionary join."""

    def work(loops: int) -> None:
        for _ in range(loops):
            bare_join(both.snapshot.orders, both.belief.orders or ())

    return work
