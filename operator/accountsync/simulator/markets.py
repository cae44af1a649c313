"""The contracts that the simulated exchange lists, and their leverage brackets.

The five defaults carry the live exchange's precisions and filters. Their first order ids lie as far apart as the live
ones do (an id counts up within its symbol, and ETHUSDT's are beyond 2^53).
"""

from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Bracket:
    """One step of notional (USDT): the highest leverage, the maintenance margin's rate, and the amount to deduct."""

    number: int
    max_leverage: int
    floor: int
    cap: int
    maintenance_rate: Decimal
    deduction: Decimal


def brackets(*steps: tuple[int, int, str]) -> tuple[Bracket, ...]:
    """Brackets from (cap, max leverage, maintenance rate), in rising order.

    The deduction makes the maintenance margin continuous at each floor: it grows by floor x (rate - previous rate).
    """
    result: list[Bracket] = []
    floor, rate_before, deduction = 0, Decimal(0), Decimal(0)
    for number, (cap, max_leverage, rate_text) in enumerate(steps, start=1):
        rate = Decimal(rate_text)
        deduction += floor * (rate - rate_before)
        result.append(Bracket(number, max_leverage, floor, cap, rate, deduction))
        floor, rate_before = cap, rate
    if any(low.cap >= high.cap for low, high in pairwise(result)):
        raise ValueError("brackets: the caps must rise")
    return tuple(result)


DEEP = brackets(
    (300_000, 125, "0.004"),
    (800_000, 100, "0.005"),
    (3_000_000, 75, "0.0065"),
    (12_000_000, 50, "0.01"),
    (70_000_000, 25, "0.02"),
    (500_000_000, 10, "0.05"),
    (2_000_000_000, 1, "0.5"),
)
SHALLOW = brackets(
    (10_000, 75, "0.0065"),
    (50_000, 50, "0.01"),
    (500_000, 25, "0.02"),
    (4_000_000, 10, "0.05"),
    (20_000_000, 2, "0.25"),
    (40_000_000, 1, "0.5"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolSpec:
    """One perpetual contract. Quantities are in units of `base`, prices in `quote`."""

    symbol: str
    base: str
    quote: str = "USDT"
    price_places: int
    quantity_places: int
    tick_size: Decimal
    step_size: Decimal
    max_quantity: Decimal = Decimal(10_000_000)
    max_market_quantity: Decimal = Decimal(10_000_000)
    max_price: Decimal = Decimal(4_000_000)
    min_notional: Decimal = Decimal(5)
    percent_price: Decimal = Decimal("0.05")
    mark_price: Decimal
    brackets: tuple[Bracket, ...] = SHALLOW
    first_order_id: int = 1_000_000_001
    maker_fee: Decimal = Decimal("0.0002")
    taker_fee: Decimal = Decimal("0.0005")
    liquidation_fee: Decimal = Decimal("0.0125")

    @property
    def margin_asset(self) -> str:
        """USD-M contracts are margined in their quote asset."""
        return self.quote

    @property
    def max_leverage(self) -> int:
        """The first bracket's leverage."""
        return self.brackets[0].max_leverage

    def max_notional(self, leverage: int) -> int:
        """The largest position (USDT) that may have this leverage, which is no more than the highest."""
        return max(step.cap for step in self.brackets if step.max_leverage >= leverage)

    def bracket(self, notional: Decimal) -> Bracket:
        """The bracket that a position of this size (USDT, sign ignored) falls into; the last one has no end."""
        size = abs(notional)
        return next((step for step in self.brackets if size < step.cap), self.brackets[-1])


DEFAULT_SYMBOLS: tuple[SymbolSpec, ...] = (
    SymbolSpec(
        symbol="BTCUSDT",
        base="BTC",
        price_places=2,
        quantity_places=3,
        tick_size=Decimal("0.10"),
        step_size=Decimal("0.001"),
        max_quantity=Decimal(1000),
        max_market_quantity=Decimal(120),
        min_notional=Decimal(100),
        mark_price=Decimal("65000.00"),
        brackets=DEEP,
        first_order_id=712_000_000_001,
    ),
    SymbolSpec(
        symbol="ETHUSDT",
        base="ETH",
        price_places=2,
        quantity_places=3,
        tick_size=Decimal("0.01"),
        step_size=Decimal("0.001"),
        max_quantity=Decimal(10_000),
        max_market_quantity=Decimal(2000),
        max_price=Decimal(306_177),
        min_notional=Decimal(20),
        mark_price=Decimal("3200.00"),
        brackets=DEEP,
        first_order_id=8_389_765_800_000_000_001,
    ),
    SymbolSpec(
        symbol="SOLUSDT",
        base="SOL",
        price_places=4,
        quantity_places=2,
        tick_size=Decimal("0.0100"),
        step_size=Decimal("0.01"),
        max_price=Decimal(6857),
        mark_price=Decimal("150.0000"),
        first_order_id=186_000_000_001,
    ),
    SymbolSpec(
        symbol="XRPUSDT",
        base="XRP",
        price_places=4,
        quantity_places=1,
        tick_size=Decimal("0.0001"),
        step_size=Decimal("0.1"),
        max_price=Decimal(100_000),
        mark_price=Decimal("0.5200"),
        first_order_id=128_000_000_001,
    ),
    SymbolSpec(
        symbol="DOGEUSDT",
        base="DOGE",
        price_places=6,
        quantity_places=0,
        tick_size=Decimal("0.000010"),
        step_size=Decimal(1),
        max_price=Decimal(30),
        mark_price=Decimal("0.120000"),
        first_order_id=94_000_000_001,
    ),
)
