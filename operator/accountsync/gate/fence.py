"""Waiting for a cycle that began after a moment: the start of the gate, or of the bot.

In:  what the heartbeat was when it was read after that moment, and each beat that follows. Out: `passed`.

A heartbeat is written now and then, so that what it says of the cycles begun may be older than the moment, also where
it is stored after it. But the operator composes one that tells of cycles only once it knows that the one before is
stored. So the second beat that is stored after the reading is younger than the moment: a cycle counts as later once its
number is above those that had begun by then.

Invariants:
1. Nothing counts before a reading of the Lease that itself began after the moment.
2. Numbers compare within one boot of the operator's loop; another boot begins the count anew.
3. What has passed stays so: an operator that restarts closes no gate.
"""

from dataclasses import dataclass, replace

from accountsync.gate.heartbeat import Beat


@dataclass(frozen=True, slots=True)
class Fence:
    """`read`: version of the Lease as it was read after the moment, empty where there was none; None: not read yet.

    `stored`: a beat was stored after that reading. `since`: the first one of this boot that was composed after that.
    """

    read: str | None = None
    stored: bool = False
    since: Beat | None = None
    passed: bool = False

    def after_reading(self, version: str) -> "Fence":
        """The Lease was read; the reading began after the moment."""
        return self if self.read is not None else replace(self, read=version)

    def after(self, version: str, beat: Beat) -> "Fence":
        """A beat was received."""
        if self.passed or self.read is None or version == self.read:
            return self
        if not self.stored:
            return replace(self, stored=True)
        if not beat.boot:
            return self
        if self.since is None or self.since.boot != beat.boot:
            return replace(self, since=beat)
        return replace(self, passed=beat.judged > self.since.begun)
