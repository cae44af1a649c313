"""Which replica owns an account, and which are alive."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from accountsync.domain.owning import FORGOTTEN_AFTER, Lease, observed, owner

KEYS = [f"uid-{number}" for number in range(3000)]
NAMES = st.sets(st.text(min_size=1, max_size=8), max_size=6)
LEASE = Lease("accountsync-a", "a", "1", 15.0)


def test_accounts_spread_evenly_over_the_replicas() -> None:
    for names in (["a", "b"], ["accountsync-6f9c-x2x4z", "accountsync-6f9c-8wq2p", "accountsync-6f9c-ll9vd"]):
        share = len(KEYS) / len(names)
        assert all(0.9 * share < count < 1.1 * share for count in Counter(owner(key, names) for key in KEYS).values())


@given(names=NAMES, joining=st.text(min_size=1), key=st.text())
def test_who_joins_takes_accounts_and_moves_no_other(names: set[str], joining: str, key: str) -> None:
    before, after = owner(key, names), owner(key, names | {joining})
    assert after in {before, joining}


@given(names=NAMES.filter(bool), key=st.text(), data=st.data())
def test_who_leaves_moves_only_its_own_accounts(names: set[str], key: str, data: st.DataObject) -> None:
    leaving = data.draw(st.sampled_from(sorted(names)))
    before, after = owner(key, names), owner(key, names - {leaving})
    assert before in {after, leaving}


@given(names=st.lists(st.text(min_size=1), unique=True, min_size=1), key=st.text(), data=st.data())
def test_all_replicas_agree_in_whatever_order_they_see_each_other(
    names: list[str], key: str, data: st.DataObject
) -> None:
    assert owner(key, names) == owner(key, data.draw(st.permutations(names)))


def test_without_replicas_there_is_no_owner() -> None:
    assert owner("uid", []) == ""


def test_a_replica_is_alive_for_one_duration_since_its_lease_was_seen_to_change() -> None:
    known = observed({}, [LEASE], 100.0)
    known = observed(known, [LEASE], 110.0)
    assert known["accountsync-a"].alive(114.9)
    assert not known["accountsync-a"].alive(115.0)
    known = observed(known, [replace(LEASE, version="2")], 120.0)
    assert known["accountsync-a"].alive(134.9)


def test_each_lease_lives_as_long_as_it_says_itself() -> None:
    known = observed({}, [LEASE, replace(LEASE, name="accountsync-b", identity="b", duration=60.0)], 0.0)
    assert [known[name].alive(30.0) for name in ("accountsync-a", "accountsync-b")] == [False, True]


def test_what_is_no_longer_listed_is_dead_at_once() -> None:
    assert observed(observed({}, [LEASE], 0.0), [], 1.0) == {}


def test_a_lease_that_nobody_renews_for_long_is_litter() -> None:
    (seen,) = observed({}, [LEASE], 0.0).values()
    assert not seen.forgotten(FORGOTTEN_AFTER * 15.0)
    assert seen.forgotten(FORGOTTEN_AFTER * 15.0 + 1)
