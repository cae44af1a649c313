"""Which accounts share one exchange account, and what each may know of the others."""

from typing import Any

from tests.support.fakes import START_MS, ManualClock

from accountsync.controller.shares import Shares
from accountsync.domain.expected import ExpectedState
from accountsync.domain.sharing import ALONE


def body(name: str, shared: str = "desk", *, namespace: str = "trading", **spec: Any) -> dict[str, Any]:
    exchange = {"id": spec.pop("id", "binanceusdm"), "sharedAccount": shared}
    return {
        "metadata": {"uid": f"uid-{name}", "name": name, "namespace": namespace},
        "spec": {"exchange": exchange, "bot": {"orderIdPrefix": f"{name}_"}, **spec},
    }


def shares(*bodies: dict[str, Any]) -> tuple[Shares, ManualClock]:
    clock = ManualClock()
    known = Shares(clock)
    for each in bodies:
        known.announce(each)
    return known, clock


def names(known: Shares, name: str) -> list[str]:
    return [sibling.name for sibling in known.of(f"uid-{name}").siblings]


def test_bots_of_one_name_in_one_namespace_and_exchange_are_siblings() -> None:
    known, _ = shares(
        body("a"),
        body("b"),
        body("c", "other"),
        body("d", namespace="elsewhere"),
        body("e", id="bybit"),
        body("f", shared=""),
    )
    assert names(known, "a") == ["b"]
    assert names(known, "b") == ["a"]
    assert [known.of(f"uid-{name}").siblings for name in "cdef"] == [(), (), (), ()]
    assert known.of("uid-f") == ALONE


def test_an_account_is_the_same_by_whatever_address_it_is_reached() -> None:
    explicit = body("b")
    explicit["spec"]["exchange"] |= {"endpoint": "https://fapi.example.com"}
    known, _ = shares(body("a"), explicit)
    assert names(known, "a") == ["b"]
    assert known.key("uid-a") == known.key("uid-b"), "one process has them both"


def test_the_first_name_that_runs_tells_of_what_is_nobodys() -> None:
    known, _ = shares(body("a"), body("b"), body("c"))
    assert [known.of(f"uid-{name}").leads for name in "abc"] == [True, False, False]
    known.announce(body("a", suspend=True))
    assert [known.of(f"uid-{name}").leads for name in "bc"] == [True, False]
    known.withdraw("uid-a")
    known.withdraw("uid-b")
    assert known.of("uid-c").leads


def test_a_belief_counts_for_the_others_as_long_as_it_does_for_its_own_account() -> None:
    known, clock = shares(body("a"), body("b"))
    assert known.of("uid-a").siblings[0].belief is None, "nothing was read yet"
    belief = ExpectedState(START_MS, positions=())
    known.believe("uid-b", belief, stale_after_ms=60_000)
    assert known.of("uid-a").siblings[0].belief is belief
    clock.advance(60)
    assert known.of("uid-a").siblings[0].belief is belief
    clock.advance(0.001)
    assert known.of("uid-a").siblings[0].belief is None
    known.believe("uid-b", ExpectedState(clock.now_ms()), stale_after_ms=60_000)
    known.believe("uid-b", None, stale_after_ms=60_000)
    assert known.of("uid-a").siblings[0].belief is None


def test_a_change_of_the_spec_keeps_what_was_believed_and_leaving_ends_it() -> None:
    known, _ = shares(body("a"), body("b"))
    known.believe("uid-b", ExpectedState(START_MS), stale_after_ms=60_000)
    known.announce(body("b", interval="5s"))
    assert known.of("uid-a").siblings[0].belief is not None
    known.announce(body("b", shared=""))
    assert known.of("uid-a") == ALONE.__class__(leads=True)
    known.believe("uid-b", ExpectedState(START_MS), stale_after_ms=60_000)
    assert known.of("uid-a").siblings == ()


def test_what_was_done_for_one_is_known_to_the_others_on_its_account_alone() -> None:
    known, _ = shares(body("a"), body("b"), body("c", "other"), body("f", shared=""))
    assert known.did("uid-a", frozenset({"acsync-1"})) == {"acsync-1"}
    assert known.did("uid-b", frozenset({"acsync-2"})) == {"acsync-1", "acsync-2"}
    known.announce(body("a", interval="1m"))
    assert known.did("uid-b", frozenset()) == {"acsync-1"}
    assert known.did("uid-c", frozenset()) == frozenset()
    assert known.did("uid-f", frozenset({"acsync-3"})) == {"acsync-3"}
    known.withdraw("uid-a")
    assert known.did("uid-b", frozenset()) == frozenset()
