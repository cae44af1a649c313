"""A detection in the making: what the checks read and what they write into."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from accountsync.domain.account import AccountSnapshot, Order
from accountsync.domain.catalogue import Rule
from accountsync.domain.finding import ANY, POSITIONS, ZERO, Answers, Finding, Question, sanitize
from accountsync.domain.policy import Policy
from accountsync.domain.sharing import ALONE, Sharing

FILLS_NAMED = 20
"""Fills that one finding names."""
Book = Mapping[tuple[str, str], Order]
"""Open orders by (symbol, id): exchanges count ids up per symbol."""


@dataclass(slots=True)
class Draft:
    """`insisted`: symbols that are never settled, so that their orders are asked for by id instead.

    `twins`: where an ordinary and a conditional order share an id: the key of the one in the book → that of the other.
    `old_marks`: the last known ones of symbols that have none of the last minute.
    `unsettled`: what was unknown before the comparison: its own doubts about one row must not reach another.
    """

    snapshot: AccountSnapshot
    policy: Policy
    answers: Answers
    sharing: Sharing = ALONE
    insisted: frozenset[str] = frozenset()
    old_marks: Mapping[str, Decimal] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    unknown: set[tuple[str, str]] = field(default_factory=set)
    unsettled: frozenset[tuple[str, str]] = frozenset()
    questions: list[Question] = field(default_factory=list)
    explained: set[tuple[str, str]] = field(default_factory=set)
    given_up: set[tuple[str, str]] = field(default_factory=set)
    twins: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    def doubt(self, symbol: str, *ids: str) -> None:
        """These orders of `symbol` are not judged."""
        self.unknown.update((symbol, sanitize(text)) for text in ids if text)

    def ask(self, question: Question) -> None:
        """The exchange is to be asked before anything is said."""
        self.questions.append(question)

    def settled(self, symbol: str, *ids: str) -> bool:
        """Whether orders may be compared; in an insisted symbol only what was corrupt stays out."""
        if not self.unsettled:
            return True
        if (symbol, ANY) in self.unsettled and symbol not in self.insisted:
            return False
        return self.unsettled.isdisjoint((symbol, sanitize(text)) for text in ids)

    def positions_settled(self, symbol: str) -> bool:
        """Whether the positions of `symbol` may be compared as they are listed."""
        return self.unsettled.isdisjoint({(symbol, ANY), (symbol, POSITIONS)})

    def add(
        self,
        rule: Rule,
        symbol: str,
        id_: str,
        *,
        expected: str = "",
        observed: str = "",
        quantity: Decimal | None = ZERO,
        price: Decimal | None = None,
        changed: int | None = None,
        own: bool = True,
        proven: bool | None = None,
        fills: tuple[str, ...] = (),
        client_id: str = "",
    ) -> None:
        """A difference. What it puts at risk is `quantity` at the mark, or, where there is none, at `price`.

        None: not known; a difference of no quantity puts nothing at risk. Without either the last mark that was known
        says about how much it is, and it counts as not priced.
        """
        price = self.snapshot.marks.get(symbol) or price
        priced = quantity == 0 or (quantity is not None and bool(price))
        notional = abs((quantity or ZERO) * (price or self.old_marks.get(symbol) or ZERO))
        id_, client_id = sanitize(id_), client_id and sanitize(client_id)
        fills = tuple(sanitize(fill) for fill in fills[:FILLS_NAMED])
        self.findings.append(
            Finding(rule, symbol, id_, expected, observed, notional, changed, own, proven, fills, client_id, priced)
        )

    def sorted_findings(self) -> tuple[Finding, ...]:
        """One of each key, whatever the order in which they were added."""
        worst_last = sorted(self.findings, key=lambda finding: (finding.key, finding.notional, finding.observed))
        return tuple({finding.key: finding for finding in worst_last}.values())
