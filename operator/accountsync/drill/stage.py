"""One account of a drill: the real cycle over the drill's ports, and the real metrics as Prometheus reads them."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from accountsync.clock import ManualClock
from accountsync.cycle import Cycle, State, run
from accountsync.domain.account import AccountSnapshot, Balance, Order, Position, PositionSide, Side
from accountsync.domain.catalogue import CATALOGUE
from accountsync.domain.decide import Wishes
from accountsync.domain.expected import ExpectedBalance, ExpectedOrder, ExpectedPosition, ExpectedState
from accountsync.domain.policy import Policy
from accountsync.drill.ports import DrillBot, DrillExchange
from accountsync.report.metrics import Metrics

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
START_MS = 1_790_000_000_000
PREFIX = "grinder_"
NAMESPACE = "drill"
AT_ONCE = Policy(order_id_prefix=PREFIX, confirmations=1, order_grace_ms=0)
"""Of the drills that prove detection: what is different counts at first sight."""
CREATED = re.compile(r"^(?:# (?:HELP|TYPE) )?\w+_created\b.*\n", re.MULTILINE)
"""Lines with the wall time at which a process made a metric; evidence has none."""


def order(
    id_: str, symbol: str, side: Side, quantity: str, price: str, *, filled: str = "0", placed: int = START_MS - 60_000
) -> Order:
    """An open order with the bot's prefix. `placed`: Unix ms."""
    sizes = Decimal(quantity), Decimal(filled), Decimal(price)
    return Order(id_, PREFIX + id_, symbol, side, *sizes, created=placed, updated=placed)


CLEAN = AccountSnapshot(
    START_MS,
    positions=(
        Position(BTC, PositionSide.NET, Decimal("0.5"), "cross"),
        Position(ETH, PositionSide.NET, Decimal(-2), "cross"),
    ),
    orders=(
        order("known_ord_1", BTC, Side.BUY, "0.01", "50000"),
        order("known_ord_2", ETH, Side.SELL, "2", "2500", filled="0.5"),
    ),
    balances=(Balance("USDT", Decimal(1000)),),
)
"""What every drill's bot believes: two positions, two orders worth 4,250 USDT, a wallet."""


def orphaned(placed: int = START_MS - 60_000) -> AccountSnapshot:
    """CLEAN, and an order worth 2,750 USDT that the bot does not know of."""
    orphan = order("orphan_ord_x", BTC, Side.SELL, "0.05", "55000", placed=placed)
    return replace(CLEAN, orders=(*CLEAN.orders, orphan))


def believed(snapshot: AccountSnapshot, as_of: int) -> ExpectedState:
    """The belief of a bot that knows all of `snapshot` at `as_of`, Unix ms."""
    return ExpectedState(
        as_of,
        positions=tuple(ExpectedPosition(row.symbol, row.side, row.quantity) for row in snapshot.positions),
        orders=tuple(
            ExpectedOrder(row.symbol, row.id, row.client_id, row.side, row.quantity, row.filled, row.price)
            for row in snapshot.orders
        ),
        balances=tuple(ExpectedBalance(row.asset, row.wallet) for row in snapshot.balances),
    )


def mismatches(cycle: Cycle) -> list[str]:
    """The `rule` label of each confirmed finding that `cycle` showed."""
    return sorted(CATALOGUE[finding.rule].account_sync for finding in cycle.outcome.shown)


def failures(cycle: Cycle) -> list[str]:
    """Why a side of `cycle` is Unknown, the exchange's first."""
    return [side.reason.value for side in (cycle.exchange, cycle.bot) if side is not None]


def ok(cycle: Cycle) -> bool:
    """Whether `cycle` read and judged both sides and found no difference, not even one that does not count yet."""
    return cycle.complete and not failures(cycle) and not cycle.state.tracks


class Page:
    """What `/metrics` shows of `account`."""

    def __init__(self, text: str, account: str) -> None:
        self.text = text
        ours = {"namespace": NAMESPACE, "account": account}.items()
        self._samples = {
            (sample.name, frozenset(sample.labels.items() - ours)): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if ours <= sample.labels.items()
        }

    def __len__(self) -> int:
        return len(self._samples)

    def value(self, name: str, **label: str) -> float | None:
        """One series; None where there is none."""
        return self._samples.get((name, frozenset(label.items())))

    def counted(self, name: str) -> dict[str, float]:
        """The values of one metric that are not 0, by its label."""
        return {
            value: number
            for (found, labels), number in sorted(self._samples.items(), key=str)
            for _, value in labels
            if found == name and number
        }


class Account:
    """An account on stage. `lines`: what happened to it."""

    def __init__(self, name: str, policy: Policy = AT_ONCE) -> None:
        self.name = name
        self.policy = policy
        self.clock = ManualClock(START_MS)
        self.exchange = DrillExchange(CLEAN)
        self.metrics = Metrics(self.clock)
        self.state = State()
        self.lines: list[str] = []
        self._bot = DrillBot(believed(CLEAN, START_MS))
        self._series = self.metrics.open(f"uid-{name}", NAMESPACE, name)

    async def cycle(self, shown: AccountSnapshot, *, after: float = 1.0, behind_ms: int = 0, resume: str = "") -> Cycle:
        """One cycle `after` seconds: the exchange shows `shown`, as of `behind_ms` ago, and the bot believes CLEAN.

        `resume`: the digest that a person quotes.
        """
        self.clock.advance(after)
        now = self.clock.now_ms()
        self.exchange.shown = replace(shown, timestamp=now - behind_ms)
        self._bot.belief = believed(CLEAN, now)
        wishes = Wishes(resume=resume)
        cycle = await run(self.state, self.policy, wishes, self.exchange, self._bot, self.clock, since=0.0)
        self.state = cycle.state
        self._series.record(cycle, self.clock.monotonic())
        self.lines.append(json.dumps(self._told(cycle)))
        return cycle

    def page(self) -> Page:
        """`/metrics` as it is now."""
        return Page(CREATED.sub("", generate_latest(self.metrics.registry).decode()), self.name)

    def _told(self, cycle: Cycle) -> Mapping[str, object]:
        tracks = [cycle.state.tracks[key] for key in sorted(cycle.state.tracks)]
        return {
            "at_s": self.clock.seconds,
            "snapshot_ts": self.exchange.shown.timestamp,
            "last_ts": cycle.state.timestamp,
            "ok": ok(cycle),
            "mismatches": mismatches(cycle),
            "open": [track.finding.key for track in tracks if not track.confirmed],
            "confirmed": {track.finding.key: track.finding.message for track in tracks if track.confirmed},
            "failures": failures(cycle),
            "holds": {source: hold.digest for source, hold in sorted(cycle.state.holds.items())},
            "refusal": cycle.decision.refusal,
        }
