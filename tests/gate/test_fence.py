"""What the gate waits for at its start and at the bot's."""

from hypothesis import given
from hypothesis import strategies as st

from accountsync.gate.fence import Fence
from accountsync.gate.heartbeat import Beat

BOOT = "a1"


def passed(*beats: tuple[str, Beat], read: str = "v0") -> bool:
    fence = Fence().after_reading(read)
    for version, beat in beats:
        fence = fence.after(version, beat)
    return fence.passed


def test_it_passes_once_a_cycle_beyond_those_begun_at_a_later_beat_has_judged() -> None:
    assert not passed(("v1", Beat(BOOT, 5, 4)), ("v2", Beat(BOOT, 6, 5)))
    assert passed(("v1", Beat(BOOT, 5, 4)), ("v2", Beat(BOOT, 6, 6)))


def test_what_the_lease_said_when_it_was_first_read_is_too_old_to_count_from() -> None:
    assert not passed(("v0", Beat(BOOT, 5, 4)), ("v1", Beat(BOOT, 9, 9)))


def test_before_the_lease_was_read_no_beat_counts() -> None:
    assert not Fence().after("v1", Beat(BOOT, 1, 0)).after("v2", Beat(BOOT, 9, 9)).passed


def test_a_lease_that_was_not_there_yet_counts_from_its_first_beat() -> None:
    assert passed(("v1", Beat(BOOT, 0, 0)), ("v2", Beat(BOOT, 1, 1)), read="")


def test_another_boot_of_the_loop_begins_the_count_anew() -> None:
    assert not passed(("v1", Beat(BOOT, 5, 5)), ("v2", Beat("b2", 9, 9)))
    assert not passed(("v1", Beat(BOOT, 5, 5)), ("v2", Beat("b2", 0, 0)), ("v3", Beat(BOOT, 9, 9)))
    assert passed(("v1", Beat(BOOT, 5, 5)), ("v2", Beat("b2", 0, 0)), ("v3", Beat("b2", 1, 1)))


def test_what_has_passed_stays_so_over_an_operator_that_starts_anew() -> None:
    assert passed(("v1", Beat(BOOT, 0, 0)), ("v2", Beat(BOOT, 1, 1)), ("v3", Beat("b2", 0, 0)))


def test_a_lease_that_cannot_be_read_passes_nothing() -> None:
    assert not passed(("v1", Beat()), ("v2", Beat("", 9, 9)), ("v3", Beat("", 99, 99)))


HAPPENINGS = st.lists(st.sampled_from(("begin", "judge", "beat", "read", "restart")), max_size=40)


@given(HAPPENINGS, HAPPENINGS)
def test_it_passes_only_by_a_cycle_that_began_after_it_was_put_up(before: list[str], after: list[str]) -> None:
    boot = begun = judged = version = 0
    fence, begun_by_then, boot_then = Fence(), 0, 0
    for moment, happenings in enumerate((before, after)):
        if moment:
            fence, begun_by_then, boot_then = Fence(), begun, boot
        for happens in happenings:
            if happens == "begin":
                begun += 1
            elif happens == "judge":
                judged = begun
            elif happens == "restart":
                boot, begun, judged = boot + 1, 0, 0
            elif happens == "beat":
                version += 1
                fence = fence.after(f"v{version}", Beat(f"boot-{boot}", begun, judged))
            else:
                fence = fence.after_reading(f"v{version}")
            if moment and fence.passed and boot == boot_then:
                assert judged > begun_by_then
    if fence.passed and boot != boot_then:
        assert "judge" in after
