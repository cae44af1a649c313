"""Request weight for each source address, as Binance counts it: by the address, whatever the key.

A minute is a minute of the clock. Going over the limit is answered 429; an address that goes on is banned (418), from
two minutes on, twice as long each time, up to three days. The wallet calls (/sapi) have a budget of their own.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from accountsync.simulator import refusals

MINUTE_MS = 60_000
SHORTEST_BAN_MS = 2 * MINUTE_MS
LONGEST_BAN_MS = 3 * 24 * 60 * MINUTE_MS


class Pool(StrEnum):
    """Which budget a call is charged to."""

    FUTURES = "futures"
    WALLET = "wallet"


@dataclass(slots=True)
class Limits:
    """May be changed at any time; exchangeInfo tells the current values.

    `refusals_before_ban`: so many 429s within one minute, and the next call bans the address.
    """

    weight_per_minute: int = 2400
    wallet_weight_per_minute: int = 12_000
    orders_per_10s: int = 300
    orders_per_minute: int = 1200
    refusals_before_ban: int = 10

    def of(self, pool: Pool) -> int:
        """Weight a minute in `pool`."""
        return self.weight_per_minute if pool is Pool.FUTURES else self.wallet_weight_per_minute


@dataclass(slots=True)
class _Usage:
    minute: int = -1
    weight: int = 0
    refused: int = 0
    bans: int = 0
    banned_until_ms: int = 0


@dataclass(slots=True)
class RateLimiter:
    """Counts what each address uses."""

    limits: Limits = field(default_factory=Limits)
    _usage: dict[tuple[str, Pool], _Usage] = field(default_factory=dict)

    def charge(self, address: str, pool: Pool, weight: int, now_ms: int) -> None:
        """Count a call. Raises Refusal (429 or 418) if it is one too many; the weight counts all the same."""
        usage = self._at(address, pool, now_ms)
        if now_ms < usage.banned_until_ms:
            raise refusals.banned(usage.banned_until_ms, _seconds(usage.banned_until_ms - now_ms))
        usage.weight += weight
        limit = self.limits.of(pool)
        if usage.weight <= limit:
            return
        usage.refused += 1
        if usage.refused > self.limits.refusals_before_ban:
            self._ban(usage, now_ms)
            raise refusals.banned(usage.banned_until_ms, _seconds(usage.banned_until_ms - now_ms))
        raise refusals.over_limit(limit, _seconds(MINUTE_MS - now_ms % MINUTE_MS))

    def used(self, address: str, pool: Pool, now_ms: int) -> int:
        """Weight used by the address in this minute."""
        return self._at(address, pool, now_ms).weight

    def forgive(self) -> None:
        """Forget all use and all bans."""
        self._usage.clear()

    def _at(self, address: str, pool: Pool, now_ms: int) -> _Usage:
        usage = self._usage.setdefault((address, pool), _Usage())
        minute = now_ms // MINUTE_MS
        if usage.minute != minute:
            usage.minute, usage.weight, usage.refused = minute, 0, 0
        return usage

    def _ban(self, usage: _Usage, now_ms: int) -> None:
        length = min(SHORTEST_BAN_MS << usage.bans, LONGEST_BAN_MS)
        usage.bans += 1
        usage.banned_until_ms = now_ms + length


def _seconds(milliseconds: int) -> int:
    return -(-milliseconds // 1000)
