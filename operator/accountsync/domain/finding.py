"""What a comparison yields: findings, questions, and what it could not judge.

A finding's texts are made from the catalogue when somebody reads them, so that a hundred thousand of them cost no
hundred thousand sentences.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Context, Decimal

from accountsync.domain.account import Order
from accountsync.domain.catalogue import CATALOGUE, Rule, Severity, Subject
from accountsync.domain.expected import ExpectedOrder
from accountsync.domain.policy import Ignore

ZERO = Decimal(0)
EXACT = Context(prec=120)
"""Adapters let through 40 digits on either side of the point: their sums and differences are exact in this."""
ANY, ORDERS, POSITIONS, BALANCES, FILLS = "*", "*orders", "*positions", "*balances", "*fills"
"""What is doubted of a symbol (or of ANY) besides orders by id. No `sanitize`d id spells these."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. `notional` is in the quote currency; `changed`: when the exchange's side last changed (ms).

    `own`: it is about an object of the bot's. `proven`: whether the exchange's lists of fills or income show that the
    belief was wrong at its own time; False: they could, and were not asked yet; None: there is no such proof. `fills`:
    ids of the fills that led there, where they are known. `client_id`: the order's, if it is about one. `priced`: False
    where something is at risk, and nobody knows how much: `notional` is then by the last price known, or zero.
    """

    rule: Rule
    symbol: str
    id: str
    expected: str = ""
    observed: str = ""
    notional: Decimal = ZERO
    changed: int | None = None
    own: bool = True
    proven: bool | None = None
    fills: tuple[str, ...] = ()
    client_id: str = ""
    priced: bool = True

    @property
    def key(self) -> str:
        """Stable across cycles and restarts."""
        return f"{self.rule}|{self.symbol}|{self.id}"

    @property
    def severity(self) -> Severity:
        """By the catalogue."""
        row = CATALOGUE[self.rule]
        return row.severity if self.own or row.unless_own is None else row.unless_own

    @property
    def message(self) -> str:
        """What is different, for a person."""
        return CATALOGUE[self.rule].message.format(
            symbol=self.symbol, id=self.id, expected=self.expected, observed=self.observed
        )

    @property
    def reconcile(self) -> str:
        """Its type in Runbook 11, which knows only orders with the bot's prefix and positions where none was expected.

        Empty: it has none.
        """
        known = {
            Rule.UNEXPECTED_ORDER: self.own,
            Rule.POSITION_MISMATCH: self.expected == "0",
        }
        return CATALOGUE[self.rule].reconcile if known.get(self.rule, True) else ""

    @property
    def is_ghost(self) -> bool:
        """Whether it is about a position of which the exchange holds nothing."""
        return self.rule is Rule.POSITION_MISMATCH and self.observed == "0"

    @property
    def ledger(self) -> str:
        """Its name in the ledger runbook, which knows of no other difference of positions than a ghost; empty: none."""
        return CATALOGUE[self.rule].ledger if self.rule is not Rule.POSITION_MISMATCH or self.is_ghost else ""


def worst_first(finding: Finding) -> tuple[int, Decimal, str]:
    """Sorts findings: by severity, then notional, then key."""
    return -finding.severity, -finding.notional, finding.key


@dataclass(frozen=True, slots=True)
class Question:
    """An order to ask the exchange for by id before anything is said of it. `conditional` None: it may be either."""

    symbol: str
    order_id: str = ""
    client_id: str = ""
    conditional: bool | None = None


Answers = Mapping[Question, Order | None]
"""What the exchange said of one order: its present state, or None where it knows no such order."""


def question_about(order: Order | ExpectedOrder) -> Question:
    """The question that names `order` as well as it can be named."""
    conditional = order.conditional if isinstance(order, Order) else None
    return Question(order.symbol, order.id, "" if order.id else order.client_id, conditional)


@dataclass(frozen=True, slots=True)
class Detection:
    """`unknown` holds what this pass could not judge: (symbol or ANY, sanitized id of an order or one of the above).

    `unjudged`: the rules that nothing was held against, because the bot publishes no such section.
    `blind`: the snapshot was refused, so that this pass judged nothing at all. `explained`: fills that need no more
    judgement, by (symbol, id); `given_up`: those of them that nobody will ever tell whose they were. `ignored`:
    findings that people accepted; they are not among `findings`.
    """

    findings: tuple[Finding, ...] = ()
    unknown: frozenset[tuple[str, str]] = frozenset()
    questions: tuple[Question, ...] = ()
    unjudged: frozenset[Rule] = frozenset()
    blind: bool = False
    explained: frozenset[tuple[str, str]] = frozenset()
    given_up: frozenset[tuple[str, str]] = frozenset()
    ignored: tuple[Finding, ...] = ()

    def judged(self, finding: Finding) -> bool:
        """Whether this pass would have shown `finding` if it were still so."""
        if self.blind:
            return False
        if CATALOGUE[finding.rule].at_once:
            return True  # the snapshot alone shows these
        if finding.rule in self.unjudged:
            return False
        return self.unknown.isdisjoint(
            (symbol, what) for symbol in (finding.symbol, ANY) for what in (*_doubted(finding), ANY)
        )

    def without(self, keys: Collection[str]) -> "Detection":
        """The same, with the findings of `keys` Unknown instead."""
        doubted = [finding for finding in self.findings if finding.key in keys]
        findings = tuple(finding for finding in self.findings if finding.key not in keys)
        return replace(self, findings=findings).doubting(doubted)

    def doubting(self, findings: Iterable[Finding]) -> "Detection":
        """The same, with `findings` of earlier passes Unknown."""
        return replace(self, unknown=self.unknown.union((f.symbol, _doubted(f)[0]) for f in findings))

    def ignoring(self, ignores: Collection[Ignore], now_ms: int) -> "Detection":
        """The same, without what people accept at `now_ms`."""
        if not ignores:
            return self
        standing = [ignore for ignore in ignores if now_ms < ignore.until]
        ignored = {f: any(_accepts(ignore, f) for ignore in standing) for f in self.findings}
        return replace(
            self,
            findings=tuple(f for f in self.findings if not ignored[f]),
            ignored=tuple(f for f in self.findings if ignored[f]),
        )


def _accepts(ignore: Ignore, finding: Finding) -> bool:
    return ignore.rule is finding.rule and ignore.symbol in {"", finding.symbol} and ignore.id in {"", finding.id}


def _doubted(finding: Finding) -> tuple[str, ...]:
    """How `unknown` may name what `finding` is about; the first is the finding alone."""
    match CATALOGUE[finding.rule].subject:
        case Subject.POSITION:
            return (POSITIONS,)
        case Subject.BALANCE:
            return (finding.id, BALANCES)
        case Subject.ORDER:
            return (finding.id, ORDERS)
        case Subject.FILL:
            return (finding.id, FILLS)
        case _:
            return (finding.id,)


_UNFIT = re.compile(r"[^A-Za-z0-9_.:/@+-]")
_LONGEST = 64


def sanitize(text: str) -> str:
    """An upstream identifier, fit for a status, an Event or a log: printable, at most 64 characters."""
    return _UNFIT.sub("?", text)[:_LONGEST]


def plain(value: Decimal | None) -> str:
    """A decimal as people write it: no exponent, no trailing zeros, no negative zero."""
    if value is None:
        return "none"
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
