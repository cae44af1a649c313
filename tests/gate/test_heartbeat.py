"""The Lease that operator and gate share."""

import re
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from accountsync.gate.heartbeat import Beat, heartbeat_name

LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
NAMES = st.from_regex(rf"{LABEL}(\.{LABEL})*", fullmatch=True).filter(lambda name: len(name) <= 253)
LONG = (
    st.integers(200, 253)
    .flatmap(lambda length: st.text("ab-.", min_size=length, max_size=length))
    .map(lambda text: re.sub(r"[-.]+", lambda found: found[0][0], f"a{text[1:-1]}b"))
)


@given(NAMES | LONG)
def test_every_account_has_a_lease_of_a_valid_name(account: str) -> None:
    name = heartbeat_name(account)
    assert len(name) <= 253
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", name)
    assert name.startswith("accountsync-gate-")


def test_names_that_are_too_long_stay_apart() -> None:
    assert heartbeat_name("a" * 250 + "b") != heartbeat_name("a" * 250 + "c")
    assert heartbeat_name("grid-btc") == "accountsync-gate-grid-btc"


@given(
    st.builds(Beat, boot=st.text("0123456789abcdef", min_size=1), begun=st.integers(0, 10**9), judged=st.integers(0))
)
def test_what_the_operator_writes_is_what_the_gate_reads(beat: Beat) -> None:
    capped = Beat(beat.boot, beat.begun, min(beat.judged, beat.begun))
    assert Beat.read({"metadata": {"annotations": capped.annotations()}}) == capped


def test_what_cannot_be_read_tells_of_no_cycle() -> None:
    good = Beat("a1", 7, 6).annotations()
    for name in good:
        assert (
            Beat.read({"metadata": {"annotations": {**good, name: "-1" if name.endswith(("begun", "judged")) else ""}}})
            == Beat()
        )
    assert Beat.read({"metadata": {"annotations": None}}) == Beat.read({}) == Beat()
    assert Beat("a1", 7, 0).annotations()["accountsync.dev/judged"] == ""


def test_it_takes_nothing_but_the_standard_library_to_write_one() -> None:
    code = "import sys, accountsync.gate.heartbeat, accountsync.gate.answer; print('aiohttp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
