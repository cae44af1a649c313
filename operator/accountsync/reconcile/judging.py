"""What the exchange proved of the orders of one run, with everything that the ledger says of their fills."""

from collections.abc import Iterable
from dataclasses import dataclass

from accountsync.cycle import Cycle
from accountsync.domain.account import AccountSnapshot
from accountsync.domain.finding import Finding
from accountsync.domain.ledger import Booked, Correction, LedgerOrder, Slice
from accountsync.domain.lifecycle import Refusal, correction, found_for
from accountsync.domain.policy import Policy
from accountsync.ports import LockedLedger
from accountsync.reconcile.proof import Proof


@dataclass(frozen=True, slots=True)
class Judging:
    """By the cycle that was just reported. `policy`: in the exchange's terms."""

    cycle: Cycle
    snapshot: AccountSnapshot
    policy: Policy
    profile: str
    proof: Proof
    ledger: LockedLedger

    async def of(self, finding: Finding, row: LedgerOrder | None, slices: Iterable[Slice]) -> Correction | Refusal:
        """What to bring into the ledger of `finding`. `row`: the ledger's, of its order."""
        found = found_for(finding, row, self.cycle.state.answers, self.snapshot.orders)
        symbol, fills, used = finding.symbol, None, frozenset[str]()
        booked: tuple[Booked, ...] = ()
        if row is not None and found is not None and found.filled > row.filled:
            made = min((at for at in (row.created, found.created) if at is not None), default=None)
            told = await self.proof.fills(symbol, None if made is None else made - self.policy.order_grace_ms)
            if told is not None:
                fills = [fill for fill in told if fill.order_id == found.id]
                pairs = await self.ledger.used([(symbol, fill.id) for fill in fills])
                used = frozenset(fill_id for _, fill_id in pairs)
            names = [(symbol, row.exchange_id, row.client_id), (symbol, found.id, found.client_id)]
            booked = await self.ledger.booked(names)
        trade = row.trade_id if row is not None else ""
        return correction(
            finding,
            row,
            found,
            [each for each in slices if each.symbol == symbol or each.trade_id == trade],
            fills,
            profile=self.profile,
            used=used,
            booked=booked,
            prefix=self.policy.order_id_prefix,
        )
