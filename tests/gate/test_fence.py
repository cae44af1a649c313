"""What the gate waits for at its start and at the bot's."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from accountsync.gate.fence import Fence
from accountsync.gate.heartbeat import Beat

BOOT = "a1"


def passed(*beats: tuple[str, Beat], read: str = "v0") -> bool:
    fence = Fence().after_reading(read)
    for version, beat in beats:
        fence = fence.after(version, beat)
    return fence.passed


STORED = ("v1", Beat(BOOT, 5, 4))


def test_it_passes_once_a_cycle_beyond_those_begun_at_the_second_later_beat_has_judged() -> None:
    assert not passed(STORED, ("v2", Beat(BOOT, 6, 6)), ("v3", Beat(BOOT, 7, 6)))
    assert passed(STORED, ("v2", Beat(BOOT, 6, 6)), ("v3", Beat(BOOT, 7, 7)))


def test_what_the_lease_said_when_it_was_first_read_is_too_old_to_count_from() -> None:
    assert not passed(("v0", Beat(BOOT, 5, 4)), ("v1", Beat(BOOT, 9, 9)), ("v2", Beat(BOOT, 9, 9)))


def test_the_first_beat_stored_later_may_have_been_composed_before_and_is_not_counted_from() -> None:
    assert not passed(("v1", Beat(BOOT, 5, 4)), ("v2", Beat(BOOT, 9, 9)))


def test_before_the_lease_was_read_no_beat_counts() -> None:
    assert not Fence().after("v1", Beat(BOOT, 1, 0)).after("v2", Beat(BOOT, 1, 0)).after("v3", Beat(BOOT, 9, 9)).passed


def test_a_lease_that_was_not_there_yet_counts_from_its_second_beat() -> None:
    assert passed(("v1", Beat()), ("v2", Beat(BOOT, 0, 0)), ("v3", Beat(BOOT, 1, 1)), read="")


def test_another_boot_of_the_loop_begins_the_count_anew() -> None:
    assert not passed(STORED, ("v2", Beat(BOOT, 5, 5)), ("v3", Beat("b2", 9, 9)))
    assert not passed(STORED, ("v2", Beat(BOOT, 5, 5)), ("v3", Beat("b2", 0, 0)), ("v4", Beat(BOOT, 9, 9)))
    assert passed(STORED, ("v2", Beat(BOOT, 5, 5)), ("v3", Beat("b2", 0, 0)), ("v4", Beat("b2", 1, 1)))


def test_a_beat_that_tells_of_no_cycle_begins_no_count_anew() -> None:
    assert passed(("v1", Beat()), ("v2", Beat(BOOT, 5, 5)), ("v3", Beat()), ("v4", Beat(BOOT, 6, 6)))


def test_what_has_passed_stays_so_over_an_operator_that_starts_anew() -> None:
    assert passed(STORED, ("v2", Beat(BOOT, 0, 0)), ("v3", Beat(BOOT, 1, 1)), ("v4", Beat("b2", 0, 0)))


def test_a_lease_that_cannot_be_read_passes_nothing() -> None:
    assert not passed(("v1", Beat()), ("v2", Beat("", 9, 9)), ("v3", Beat("", 99, 99)), ("v4", Beat("", 100, 100)))


class Operator:
    """Composes a beat at one moment, and has it stored at another; each that tells of cycles names what it replaces."""

    def __init__(self) -> None:
        self.fence = Fence()
        self.boot = self.begun = self.judged = self.version = 0
        self.known: int | None = None
        self.in_flight: list[tuple[int | None, Beat]] = []

    def begin(self) -> None:
        self.begun += 1

    def judge(self) -> None:
        self.judged = self.begun

    def restart(self) -> None:
        self.boot, self.begun, self.judged, self.known = self.boot + 1, 0, 0, None

    def compose(self) -> None:
        told = Beat() if self.known is None else Beat(f"boot-{self.boot}", self.begun, self.judged)
        self.in_flight.append((self.known, told))
        self.known = None

    def store(self, *, answered: bool = True) -> None:
        if not self.in_flight:
            return
        replaces, beat = self.in_flight.pop()
        if replaces in (None, self.version):
            self.version += 1
            self.fence = self.fence.after(f"v{self.version}", beat)
            self.known = self.version if answered else self.known

    def store_late(self) -> None:
        self.in_flight.reverse()
        self.store(answered=False)
        self.in_flight.reverse()

    def read(self) -> None:
        self.fence = self.fence.after_reading(f"v{self.version}")


HAPPENINGS = st.lists(
    st.sampled_from(
        (Operator.begin, Operator.judge, Operator.compose, Operator.store, Operator.store_late, Operator.read)
    ),
    max_size=60,
)


@settings(max_examples=400)
@given(HAPPENINGS, HAPPENINGS, st.booleans())
def test_it_passes_only_by_a_cycle_that_began_after_it_was_put_up(
    before: list[Callable[[Operator], None]], after: list[Callable[[Operator], None]], restarts: bool
) -> None:
    operator = Operator()
    for each in before:
        each(operator)
    begun_by_then, operator.fence = operator.begun, Fence()
    if restarts:
        operator.restart()
        begun_by_then = 0
    for each in after:
        each(operator)
        assert not operator.fence.passed or operator.judged > begun_by_then
