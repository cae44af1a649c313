"""How much of an exchange's request weight is left for this egress address, in the exchange's own minute.

Rate, not CPU, is what runs out first, and an address that overruns is banned with every account behind it. So weight
is reserved before it is sent, and nothing is sent past a share of the limit or while the exchange wants us away.

Invariants:
1. used = max(what the exchange reported, what we counted ourselves) + what is reserved and not yet settled.
2. A reservation that would take `used` past `share` of the limit is refused, and nothing of it is sent.
3. The minute is the exchange's. Its clock is taken from its answers, rounded down: a new minute may be seen late,
   never early.
4. Staying away is measured on a monotonic clock.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from accountsync.errors import ExchangeUnobserved, Reason
from accountsync.ports import Clock

MINUTE_MS = 60_000
SHARE = 0.8
PACE = 0.6
"""The share that cycles which may wait keep to: below the 70 % above which the alert ExchangeWeightNearLimit fires."""
DEFAULT_BACK_OFF = 30.0
LONGEST_BACK_OFF = 3 * 24 * 3600.0
"""Binance's longest ban."""


class WeightBudget:
    """Request weight of one exchange and egress address, shared by all its accounts. `limit` None: not known."""

    def __init__(self, exchange: str, clock: Clock, *, limit: int | None = None, share: float = SHARE) -> None:
        self.exchange = exchange
        self.limit = limit
        self._share = share
        self._clock = clock
        self._offset: float | None = None
        self._minute = self._current_minute()
        self._reported = 0
        self._counted = 0
        self._pending = 0
        self._away_until = -math.inf

    @property
    def used(self) -> int:
        """Weight used in the exchange's present minute, with what is on its way."""
        self._turn()
        return max(self._reported, self._counted) + self._pending

    @property
    def fullness(self) -> float:
        """Used weight as a share of the limit; 0 where that is not known."""
        return self.used / self.limit if self.limit else 0.0

    @property
    def on_pace(self) -> bool:
        """Whether so little of the minute's weight is used that, going on like this, `PACE` is not passed by its end.

        What may wait is sent only then: it takes nothing from what is due.
        """
        return self.limit is None or self.used <= self.limit * PACE * (1 - self.minute_left * 1000 / MINUTE_MS)

    @property
    def away_for(self) -> float:
        """Seconds for which nothing may be sent; 0 if sending is allowed."""
        return max(0.0, self._away_until - self._clock.monotonic())

    def check(self) -> None:
        """Raise ExchangeUnobserved (RateLimited) while the exchange wants us to stay away."""
        if away := self.away_for:
            raise ExchangeUnobserved(
                Reason.RATE_LIMITED, f"{self.exchange} asked for a pause of requests", retry_after=away
            )

    @contextmanager
    def reserve(self, weight: int) -> Iterator[None]:
        """Hold `weight` while requests of that weight are made. Raises ExchangeUnobserved (RateLimited)."""
        self.check()
        if self.limit is not None and self.used + weight > self.limit * self._share:
            raise ExchangeUnobserved(
                Reason.RATE_LIMITED,
                f"{weight} more request weight would take {self.exchange} past {self._share:.0%} of its"
                f" {self.limit} a minute ({self.used} used)",
                retry_after=self.minute_left,
            )
        self._pending += weight
        try:
            yield
        finally:
            self._turn()
            self._pending -= weight
            self._counted += weight

    @property
    def minute_left(self) -> float:
        """Seconds until the exchange's minute ends."""
        return (MINUTE_MS - self._exchange_ms() % MINUTE_MS) / 1000

    def exchange_now_ms(self) -> int:
        """The exchange's clock, as its answers last told it; our own before the first."""
        return int(self._exchange_ms())

    def observe(self, *, exchange_ms: int | None = None, used: int | None = None) -> None:
        """Learn from an answer: the exchange's clock when it was made, and the weight it says was used."""
        if exchange_ms is not None:
            self._offset = exchange_ms - self._clock.monotonic() * 1000
            if exchange_ms // MINUTE_MS < self._minute - 1:
                self._minute = exchange_ms // MINUTE_MS  # our own clock was ahead; what was counted stays counted
        self._turn()
        if used is not None and (exchange_ms is None or exchange_ms // MINUTE_MS == self._minute):
            self._reported = max(self._reported, used)

    def back_off(self, seconds: float | None) -> float:
        """Send nothing for `seconds` (None: as long as seems wise); returns how long that is from now."""
        if seconds is None:
            seconds = DEFAULT_BACK_OFF if self.limit is None else max(self.minute_left, 1.0)
        until = self._clock.monotonic() + min(max(seconds, 1.0), LONGEST_BACK_OFF)
        self._away_until = max(self._away_until, until)
        return self.away_for

    def _exchange_ms(self) -> float:
        if self._offset is None:
            return self._clock.now_ms()
        return self._clock.monotonic() * 1000 + self._offset

    def _current_minute(self) -> int:
        return int(self._exchange_ms() // MINUTE_MS)

    def _turn(self) -> None:
        if self._current_minute() > self._minute:
            self._minute = self._current_minute()
            self._reported = self._counted = 0
