"""What remedies are made from, and what they are written into.

In:  the tracks of a cycle, both sides, the policy, what was done before. Out: `Scene`, which says what is there and
whose it is; `Sketch`, a proposal in the making.

Invariants: a finding counts only where it was confirmed, reached what the policy asks of its rule, and nobody accepted
it; an order is the bot's own only by the beginning of its client id.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from accountsync.domain.account import AccountSnapshot, Order, OrderStatus, Position
from accountsync.domain.catalogue import Rule
from accountsync.domain.confirm import Track, Tracks
from accountsync.domain.decide import REGROWTH, Acknowledged
from accountsync.domain.expected import ExpectedPosition, ExpectedState
from accountsync.domain.fills import FillLog
from accountsync.domain.finding import Detection, Finding, sanitize
from accountsync.domain.holds import fingerprint
from accountsync.domain.past import Past
from accountsync.domain.plan import Action
from accountsync.domain.policy import Policy, Threshold
from accountsync.domain.sharing import Sharing, names

NO_THRESHOLD = Threshold()


@dataclass(frozen=True, slots=True)
class Scene:
    """One account as it is now. `acknowledged`: fingerprints of the findings that a person resumed over → notional.

    `adopts`: a repair has the bot take up all orders of the symbol that it finds on the exchange, whoever placed them.
    """

    tracks: Tracks
    snapshot: AccountSnapshot
    expected: ExpectedState
    policy: Policy
    past: Past
    fills: FillLog | None
    sharing: Sharing
    acknowledged: Acknowledged
    now_ms: int
    adopts: bool = False

    def findings(self, *rules: Rule) -> Iterator[Finding]:
        """Those of `rules` that something is to be done about, in an order that no price changes."""
        due = (track.finding for track in self.tracks.values() if track.finding.rule in rules and self._is_due(track))
        yield from sorted((finding for finding in due if not self.accepted(finding)), key=lambda finding: finding.key)

    def accepted(self, finding: Finding) -> bool:
        """Whether people said that it may stay as it is: they resumed over it, or the resource ignores it."""
        limit = self.acknowledged.get(fingerprint(finding.key))
        if limit is not None and finding.notional <= limit * REGROWTH:
            return True
        return bool(Detection((finding,)).ignoring(self.policy.ignores, self.now_ms).ignored)

    def stands(self, rule: Rule, symbol: str) -> bool:
        """Whether a finding of `rule`, confirmed or not, stands for `symbol`."""
        return any(row.finding.rule is rule and row.finding.symbol == symbol for row in self.tracks.values())

    def order(self, finding: Finding) -> Order | None:
        """The open order that `finding` is about; None: it is not listed, or more than once."""
        found = [row for row in self.snapshot.orders if (row.symbol, sanitize(row.ref)) == (finding.symbol, finding.id)]
        return found[0] if len(found) == 1 and found[0].status is OrderStatus.OPEN else None

    def own(self, order: Order) -> bool:
        """Whether `order` is this bot's."""
        prefix = self.policy.order_id_prefix
        return bool(prefix) and order.client_id.startswith(prefix) and not self._belongs_to_another(order)

    def is_bots(self, order: Order) -> bool:
        """The same; where its orders bear no prefix, those that it speaks of."""
        if self.policy.order_id_prefix:
            return self.own(order)
        return self.tracks_order(order) and not self._belongs_to_another(order)

    def may_cancel(self, order: Order) -> bool:
        """Whether the policy lets `order` be cancelled at all: it is the bot's, or of a prefix that people named."""
        named = any(prefix and order.client_id.startswith(prefix) for prefix in self.policy.remedies.prefixes)
        return self.own(order) or (named and not self._belongs_to_another(order))

    def tracks_order(self, order: Order) -> bool:
        """Whether the bot speaks of `order`, open or not."""
        return names(self.expected, order.symbol, order.id, order.client_id)

    def believed(self) -> tuple[ExpectedPosition, ...] | None:
        """The positions that all bots of the account believe in together; None: Unknown."""
        return None if self.expected.positions is None else self.sharing.positions(self.expected)

    def mark(self, symbol: str, row: Position | None = None) -> Decimal | None:
        """The mark price of `symbol`, not older than a minute; `row`: a position that may tell it, too."""
        return self.snapshot.marks.get(symbol) or (row.mark_price if row else None) or None

    def _is_due(self, track: Track) -> bool:
        least = self.policy.remedies.thresholds.get(track.finding.rule, NO_THRESHOLD)
        age = (self.now_ms - track.first_seen) / 1000
        return (
            track.confirmed
            and track.count >= least.count
            and track.finding.notional >= least.notional
            and age >= least.age
        )

    def _belongs_to_another(self, order: Order) -> bool:
        sharing = self.sharing
        if sharing.owner(order.client_id, self.policy.order_id_prefix) is not None:
            return True
        return bool(sharing.siblings) and sharing.tracked(order.symbol, order.id, order.client_id) is not False


@dataclass(slots=True)
class Sketch:
    """A proposal in the making. `refused`: keys of the findings that the refusals are about."""

    actions: list[Action] = field(default_factory=list)
    approvals: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    residue: list[str] = field(default_factory=list)
    withheld: list[str] = field(default_factory=list)

    def refuse(self, why: str, finding: Finding) -> None:
        """Nothing may be done, as long as `finding` can't be dealt with."""
        self.refusals.append(why)
        self.refused.append(finding.key)

    @property
    def dealt_with(self) -> set[str]:
        """Keys of the findings that have their remedy."""
        return {*self.refused, *(key for action in self.actions for key in action.findings)}
