"""The watchdog under any sequence of cycles, people, modes and restarts, against a plain second reckoning."""

from dataclasses import dataclass, replace
from decimal import Decimal

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.rows import BTC, ETH, NOW

from accountsync.domain.catalogue import Rule
from accountsync.domain.confirm import Track
from accountsync.domain.decide import Acknowledged, Situation, Wishes, decide
from accountsync.domain.finding import Finding
from accountsync.domain.holds import Holds, Signal, Source
from accountsync.domain.policy import AutoResume, Mode, Policy, Watchdog
from accountsync.domain.watchdog import Vigil

TERMS = AutoResume(min_pause=60, clean_cycles=2, cooldown=150)
POLICY = Policy(mode=Mode.PAUSE, watchdog=Watchdog(Decimal(100), "USDT", auto_resume=TERMS))
LIMIT = 50


@dataclass(frozen=True)
class Moment:
    """One decision. `jump`: seconds by which the wall clock is off from now on; `restarts`: a new process begins."""

    btc: int
    eth: int
    whole: bool
    idle: bool
    paused: bool
    observe: bool
    stale: bool
    resumes: Source | None
    seconds: int
    jump: int
    restarts: bool


moments = st.builds(
    Moment,
    btc=st.sampled_from([0, 0, 0, 0, 20, 40, 60]),
    eth=st.sampled_from([0, 0, 0, 0, 20]),
    whole=st.sampled_from([True, True, True, False]),
    idle=st.sampled_from([False, False, False, True]),
    paused=st.sampled_from([False, False, True]),
    observe=st.sampled_from([False, False, False, True]),
    stale=st.sampled_from([False, False, False, True]),
    resumes=st.sampled_from([None, None, None, Source.POLICY, Source.WATCHDOG]),
    seconds=st.sampled_from([1, 15, 30, 60]),
    jump=st.sampled_from([0, 0, -5, -500]),
    restarts=st.sampled_from([False, False, False, True]),
)


def tracks(moment: Moment) -> dict[str, Track]:
    found = [
        Finding(Rule.POSITION_MISMATCH, symbol, "net", observed=str(size), notional=Decimal(size))
        for symbol, size in ((BTC, moment.btc), (ETH, moment.eth))
        if size
    ]
    return {each.key: Track(each, NOW, NOW, 0.0, 0, confirmed=True) for each in found}


@settings(max_examples=400)
@given(st.lists(moments, max_size=40))
@example(
    [Moment(60, 0, True, False, False, False, False, None, 1, 0, False)]
    + 5 * [Moment(0, 0, True, False, False, False, False, None, 30, 0, False)]
)
def test_the_watchdogs_hold_ends_in_its_time_or_by_its_digest(life: list[Moment]) -> None:
    holds: Holds = {}
    acknowledged: Acknowledged = {}
    vigil = Vigil()
    monotonic, wall = 0.0, float(NOW)
    raised_at = resumed_at = None  # true seconds
    clean = 0
    for moment in life:
        monotonic += moment.seconds
        wall += 1000 * (moment.seconds + moment.jump)
        if moment.restarts:
            held = holds.get(Source.WATCHDOG)
            vigil = Vigil.restored(
                held.since // 1000 * 1000 if held else None,
                vigil.resumed_ms and vigil.resumed_ms // 1000 * 1000,
                now_ms=int(wall),
                monotonic=monotonic,
            )
            clean = 0
        before = holds
        standing = before.get(moment.resumes) if moment.resumes else None
        decision = decide(
            tracks(moment),
            holds,
            acknowledged,
            replace(POLICY, mode=Mode.OBSERVE if moment.observe else Mode.PAUSE),
            Wishes(paused=moment.paused, resume=standing.digest if standing else ""),
            Situation(complete=not moment.idle, whole=moment.whole, idle=moment.idle, stale_for=moment.stale or None),
            now_ms=int(wall),
            monotonic=monotonic,
            vigil=vigil,
        )
        holds, acknowledged, vigil = decision.holds, decision.acknowledged, decision.vigil
        if not moment.idle:
            clean = clean + 1 if moment.whole and not moment.btc and not moment.eth else 0
        ended = {each.source: each.why for each in decision.transitions if not each.raised}
        why = ended.get(Source.WATCHDOG)
        if why is Signal.RECOVERED:
            assert raised_at is not None
            assert monotonic - raised_at >= TERMS.min_pause
            assert resumed_at is None or monotonic - resumed_at >= TERMS.cooldown
            assert clean >= TERMS.clean_cycles or acknowledged
            resumed_at = monotonic
        elif why is not None:
            assert (why, moment.resumes) == (Signal.WATCHDOG_RESUMED, Source.WATCHDOG)
        for source in set(ended) & {Source.POLICY}:
            assert moment.resumes is source
        assert Source.USER not in ended or not moment.paused
        if Source.WATCHDOG in holds and Source.WATCHDOG not in before:
            raised_at = monotonic
            assert moment.btc + moment.eth > LIMIT
            assert not moment.observe
        if not (moment.observe or acknowledged) and moment.btc + moment.eth > LIMIT:
            assert Source.WATCHDOG in holds
