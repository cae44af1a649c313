"""What kind of world a seed makes: the exchange, the bots, how fast everything goes, and what may go wrong."""

import random
from dataclasses import dataclass, replace
from decimal import Decimal

from accountsync.domain.catalogue import Rule, Severity
from accountsync.domain.policy import (
    AutoResume,
    FlattenBy,
    Limits,
    Mode,
    Policy,
    Remedies,
    Threshold,
    UnexpectedOrders,
    UnexpectedPositions,
    Watchdog,
)

INTERVALS = {1: 1, 5: 1, 15: 1, 60: 1, 300: 6}
"""Seconds between two cycles → how many of ten worlds have it."""
PREFIXES = ("grinder_", "grinder_b_")
"""Of the first bot and of the second; one begins with the other, as people name things."""
GRACE_MS = 5_000


@dataclass(frozen=True, slots=True)
class Nature:
    """Spans are seconds unless they end in `_ms`. Rates and delays grow with `interval`, the grace does not.

    `live`: the bot is asked and answers at once, else it publishes. `late_ms`: how much less it knows than its `asOf`
    says. `learns_late_ms`: after how long it knows the id of an order that took another's place. `tracks`: by which id
    it tracks such an order. `names`: how it names orders. `lag_ms`: how far lists of fills and of income are behind.
    `hasty`: people resume over what stands. `marks`: a reading has the marks of all symbols, and else of what is held.
    `quotes`: the mark of a symbol is told when it is asked for. `acts`: the account has a desk from which orders and
    repairs can leave. `writable`: its bots can be told. `crashes`: the operator dies, or is stopped, while it acts.
    `approves`: how often a person does. `unguarded`: nothing protects approvals. `expires_requests`: the exchange
    refuses late ones. `fickle`: people change the mode. `mischance`: of a request.
    `other_key`: the key that trades is of another account.
    """

    interval: int
    policy: Policy
    bots: int
    hedged: bool
    live: bool
    lists_flat: bool
    tells_fills: bool
    tells_income: bool
    conditionals: bool
    liquidations: bool
    trade_every: float
    publish_every: float
    publish_lag: float
    latency: float
    late_ms: int
    learns_late_ms: int
    tracks: str
    names: str
    lag_ms: int
    skew_ms: int
    skew_steps: bool
    trouble: float
    restarts: bool
    clock_jumps: bool
    hasty: bool = False
    marks: bool = True
    quotes: bool = True
    acts: bool = False
    writable: bool = False
    crashes: bool = False
    approves: float = 0.0
    unguarded: bool = False
    expires_requests: bool = True
    fickle: bool = False
    mischance: float = 0.0
    other_key: bool = False

    @classmethod
    def of(cls, dice: random.Random) -> "Nature":
        """A world, and whether it has a watchdog."""
        nature = cls._without_watchdog(dice)
        if dice.random() < 0.4:
            return nature
        watchdog = Watchdog(
            allocated_capital=Decimal(dice.choice([40, 300, 700, 1_500])),
            currency="USDC" if dice.random() < 0.1 else "USDT",
            auto_resume=AutoResume(
                enabled=dice.random() < 0.85,
                min_pause=dice.choice([0, 4, 10]) * nature.interval,
                clean_cycles=dice.choice([1, 2, 3]),
                cooldown=dice.choice([0, 8, 25]) * nature.interval,
            ),
        )
        policy = replace(nature.policy, watchdog=watchdog)
        hasty, marks = dice.random() < 0.3, dice.random() < 0.4
        return replace(nature, policy=policy, hasty=hasty, marks=marks, quotes=dice.random() < 0.6)

    def armed(self, dice: random.Random) -> "Nature":
        """The same world, in which something may be done about what is found, or not."""
        if dice.random() < 0.4:
            return self
        remedies = Remedies(
            dry_run=dice.random() < 0.06,
            repair=dice.random() < 0.6,
            orders=dice.choices(list(UnexpectedOrders), [1, 2, 7])[0],
            positions=dice.choices(list(UnexpectedPositions), [1, 2, 7])[0],
            prefixes=("web_",) if dice.random() < 0.2 else (),
            flatten_by=dice.choice(list(FlattenBy)),
            max_slippage=Decimal(dice.choice(["0.0005", "0.005", "0.01"])),
            limits=Limits(
                actions_per_hour=dice.choice([1, 2, 10, 10]),
                notional_per_action=Decimal(dice.choice([300, 1_500, 5_000])),
                notional_per_hour=Decimal(dice.choice([600, 3_000, 20_000])),
            ),
            thresholds={Rule.UNEXPECTED_ORDER: Threshold(count=2)} if dice.random() < 0.1 else {},
            expires_after=dice.choice([8.0, 30.0]) * self.interval + 30.0,
        )
        policy = replace(
            self.policy,
            mode=dice.choices(list(Mode), [1, 1, 10])[0],
            pause_at=dice.choice([Severity.HIGH, Severity.HIGH, Severity.HIGH, None]),
            remedies=remedies,
        )
        return replace(
            self,
            policy=policy,
            acts=True,
            writable=dice.random() < 0.7,
            crashes=dice.random() < 0.7,
            approves=dice.choice([0.0, 0.7, 1.0, 1.0]),
            unguarded=dice.random() < 0.05,
            expires_requests=dice.random() < 0.95,
            fickle=dice.random() < 0.2,
            other_key=dice.random() < 0.1,
            mischance=dice.choice([0.1, 0.25, 0.5]),
        )

    @classmethod
    def _without_watchdog(cls, dice: random.Random) -> "Nature":
        interval = dice.choices(list(INTERVALS), list(INTERVALS.values()))[0]
        scale = max(1.0, interval / 15)
        shared = dice.random() < 0.25
        tells_fills = dice.random() < 0.7
        # A leg that is flat at two readings and was not in between: only fills, or a listed flat row, can tell that.
        dated = not tells_fills
        return cls(
            interval=interval,
            policy=Policy(
                mode=Mode.PAUSE,
                order_id_prefix=PREFIXES[0],
                balance_tolerances={"USDT": Decimal(0)},
                order_grace_ms=GRACE_MS,
                confirmations=dice.choice([1, 2, 3]),
                timeout=min(10.0, interval * 2 / 3),
                stale_after=max(30.0, 10.0 * interval),
                belief_stale_after_ms=int(60_000 * scale),
            ),
            bots=2 if shared else 1,
            hedged=dice.random() < 0.3,
            live=dice.random() < 0.4,
            lists_flat=dated or dice.random() < 0.3,
            tells_fills=tells_fills,
            tells_income=dice.random() < 0.7,
            conditionals=dice.random() < 0.6,
            liquidations=dice.random() < 0.3,
            trade_every=dice.choice([0.1, 0.4, 1.2, 4.0]) * interval,
            publish_every=dice.choice([1.0, 5.0, 20.0, 60.0]) * scale,
            publish_lag=dice.choice([0.0, 0.2, 3.0, 20.0]) * scale,
            latency=dice.choice([0.0, 0.0, 0.05, 0.1 * min(interval, 5.0)]),
            late_ms=dice.choice([0, 0, 500, 2_000]),
            learns_late_ms=dice.choice([0, 500, 1_500]),
            tracks=dice.choice(["first", "last", "both"]),
            names=dice.choice(["id", "client", "both"]),
            lag_ms=dice.choice([0, 500, 2_000]),
            skew_ms=dice.choice([0, 0, -300, 300]),
            skew_steps=dice.random() < 0.3,
            trouble=dice.choice([0.0, 0.05, 0.25]),
            restarts=dice.random() < 0.4,
            clock_jumps=dice.random() < (0.3 if interval > GRACE_MS / 1000 else 0.6),
        )

    @property
    def scale(self) -> float:
        """How much slower than in the quickest worlds things happen."""
        return max(1.0, self.interval / 15)

    @property
    def calm_gap(self) -> float:
        """Seconds between two publications when all is calm."""
        return max(self.scale, self.interval / 4)

    @property
    def reach(self) -> float:
        """Seconds until a belief of the grace after a change is there, when all is calm."""
        slack = self.late_ms + self.lag_ms + self.learns_late_ms + 800
        return (GRACE_MS + slack) / 1000 + 1.2 * self.calm_gap + 4 * self.latency

    def __str__(self) -> str:
        return (
            ", ".join(
                f"{name} {value}" for name in self.__slots__ if name != "policy" and (value := getattr(self, name))
            )
            + f", confirmations {self.policy.confirmations}, watchdog {self.policy.watchdog}"
            + (f", {self.policy.mode}, {self.policy.remedies}" if self.acts else "")
        )
