"""One life of the operator's process: it may be killed, or stopped for a while, at every call of the action path."""

import asyncio
import random
from collections import Counter

from tests.simulation.virtual import leap

LEASE = 15.0
"""Seconds for which a lease holds."""
RENEWED_EVERY = 5.0
"""Seconds; at times a renewal is late until the lease is all but over."""
RHYTHMS = (LEASE + 6.3, LEASE + 12.1)
"""Seconds between two late renewals: no part of an interval, else every cycle might come when the lease is ending."""
LATEST = 5.0
"""Seconds that an exchange may take a request at most: so long after a lease ended, something may still arrive."""


class Killed(BaseException):
    """kill -9: nothing of the process goes on, whatever it would have caught."""


class Process:
    """`epoch` counts the lives. `danger`: the chance that it ends or stops at a call. `struck`: where it did, and how.

    `lost`: done when others took over from it while it was stopped. `alone_from`: seconds from which nothing that an
    earlier life sent can arrive.
    """

    def __init__(self, epoch: int, alone_from: float, dice: random.Random, struck: Counter[str]) -> None:
        self.epoch, self.alone_from, self.dice, self.struck = epoch, alone_from, dice, struck
        self.name = f"operator-{epoch}"
        self.danger = 0.0
        self.alive = True
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stopped_until = 0.0
        self._beat = self._now()
        self._rhythm = dice.choice(RHYTHMS)
        self._renewed: float | None = None

    async def point(self, name: str) -> None:
        """A call of the action path, before or after it took effect."""
        if not self.alive:
            raise Killed
        if self._stopped_until > self._now():
            await asyncio.sleep(self._stopped_until - self._now())
        rare = 0.1 if name.startswith("plans.all") else 1.0
        if self.lost.done() or self.dice.random() >= self.danger * rare:
            return
        fate = self.dice.choice(["killed", "killed", "stopped", "stopped for long"])
        self.struck[f"{fate} at {name}"] += 1
        if fate == "killed":
            self.alive = False
            raise Killed
        self._renewed = self.renewed
        if fate == "stopped":
            leap(self.dice.uniform(0.5, LEASE * 1.2))
        else:
            self._stopped_until = self._now() + self.dice.uniform(LEASE * 1.2, LEASE * 4)
            self.lost.set_result(None)
            await asyncio.sleep(self._stopped_until - self._now())
        self._beat = self._now() + self.dice.uniform(0.1, 1.0)

    @property
    def renewed(self) -> float:
        """When its lease was renewed last: as long as it is stopped, and shortly after, nobody renews it."""
        now = self._now()
        if self._renewed is not None and (now < self._beat or self.lost.done()):
            return self._renewed
        self._renewed = None
        since = (now - self._beat) % self._rhythm
        return now - since + min(since - since % RENEWED_EVERY, self._rhythm - LEASE)

    @property
    def expiry(self) -> float:
        """Seconds of the loop at which its lease ends."""
        return self.renewed + LEASE

    @property
    def owns(self) -> float:
        """Seconds for which it is certain that it alone may act."""
        now = self._now()
        return 0.0 if now < self.alone_from or not self.alive else self.expiry - now

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


class Held:
    """The `Ownership` port of a process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.holder, self.epoch = process.name, process.epoch

    def left(self) -> float:
        return self._process.owns
