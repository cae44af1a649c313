"""What a drill says: a line for each assertion, and a marker that only a drill without a failure has."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from accountsync.drill.stage import Account


@dataclass(slots=True)
class Record:
    """The assertions of one drill. `lines` are what is printed; `proof`: what it proved, empty unless all held."""

    name: str
    lines: list[str] = field(default_factory=list)
    passed: int = 0
    failed: int = 0
    proof: str = ""

    @property
    def marker(self) -> str:
        """What a person greps for; empty where the drill failed."""
        return f"{self.name}_PROVEN: {self.proof}" if self.proof and not self.failed else ""

    def check(self, what: str, actual: object, expected: object) -> None:
        """One assertion: `actual` is `expected`."""
        if actual == expected:
            self.passed += 1
            self.lines.append(f"PASS  {self.name}: {what} = {_shown(actual)}")
        else:
            self.fail(f"{what} = {_shown(actual)}, expected {_shown(expected)}")

    def fail(self, why: str) -> None:
        """An assertion that did not hold."""
        self.failed += 1
        self.lines.append(f"FAIL  {self.name}: {why}")


@dataclass(frozen=True, slots=True)
class Drill:
    """One drill: it acts on its account, checks, and returns what is proven if every check held."""

    letter: str
    act: Callable[[Record, Account], Awaitable[str]]
    account: Callable[[str], Account] = Account


@dataclass(frozen=True, slots=True)
class Played:
    """A drill that ran.

    `log`: a line of JSON for each cycle; `metrics`: `/metrics` as it was at the end, if it was.
    """

    letter: str
    record: Record
    log: tuple[str, ...]
    metrics: str


async def play(drill: Drill) -> Played:
    """Run one drill. An exception in it is a failed assertion: nothing is ever skipped."""
    name = f"drill_{drill.letter}"
    record, account = Record(name), drill.account(name)
    metrics = ""
    try:
        try:
            record.proof = await drill.act(record, account)
        finally:
            metrics = account.page().text
    except Exception as error:  # noqa: BLE001 - whatever breaks, the other drills still tell what holds
        record.fail(f"it ended with {type(error).__name__}: {error}")
    return Played(drill.letter, record, tuple(account.lines), metrics)


def results(played: Sequence[Played]) -> str:
    """The sums, as the last line of the output has them."""
    passed = sum(each.record.passed for each in played)
    failed = sum(each.record.failed for each in played)
    return f"=== Results: {passed} passed, {failed} failed, 0 skipped ==="


def _shown(value: object) -> str:
    """Numbers of metrics are floats; whole ones read better without the point."""
    return re.sub(r"(\d)\.0\b", r"\1", repr(value))
