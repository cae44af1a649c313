"""What other traders offer: a simple book around the mark price, the same for everyone who asks.

The best bid lies one `spacing` below the mark price (rounded down to the tick), the best ask one above it (rounded up);
each further level is one `spacing` further away, and holds the same quantity. Orders of accounts are not in it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from accountsync.simulator.decimals import ZERO
from accountsync.simulator.markets import SymbolSpec
from accountsync.simulator.model import Side
from accountsync.simulator.world_error import WorldError

DEFAULT_LEVELS = 20
DEFAULT_NOTIONAL = Decimal(100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How much is offered: `levels` prices a side, `spacing` apart, `quantity` at each; no levels is an empty book.

    `refills`: what is taken is there again at once; else only after the symbol's next mark price.
    """

    levels: int
    quantity: Decimal
    spacing: Decimal
    refills: bool = True


@dataclass(frozen=True, slots=True)
class Offer:
    """One price, and how much can be had at it."""

    price: Decimal
    quantity: Decimal


class Books:
    """The books of all symbols. `mark` gives a symbol's mark price as it is now."""

    def __init__(self, specs: Mapping[str, SymbolSpec], mark: Callable[[str], Decimal]) -> None:
        self._specs = specs
        self._mark = mark
        self._depths = {name: default_depth(spec) for name, spec in specs.items()}
        self._taken: dict[tuple[str, Side, Decimal], Decimal] = {}

    def depth(self, symbol: str) -> Depth:
        """As it was set, or by default."""
        return self._depths[symbol]

    def set_depth(self, symbol: str, depth: Depth) -> None:
        """From now on; whatever was taken is there again."""
        spec = self._specs.get(symbol)
        if spec is None:
            raise WorldError(f"symbol {symbol!r} is not listed")
        if depth.levels < 0 or depth.quantity <= 0 or depth.spacing <= 0:
            raise WorldError(f"{symbol}: a book needs levels, and a quantity and a spacing above 0")
        if depth.spacing % spec.tick_size or depth.quantity % spec.step_size:
            raise WorldError(f"{symbol}: a book goes by ticks of {spec.tick_size} and steps of {spec.step_size}")
        self._depths[symbol] = depth
        self.refill(symbol)

    def offers(self, symbol: str, side: Side) -> list[Offer]:
        """What an order of `side` can take, the best price first: asks for a buy, bids for a sale."""
        spec, depth, mark = self._specs[symbol], self._depths[symbol], self._mark(symbol)
        rounding = ROUND_CEILING if side is Side.BUY else ROUND_FLOOR
        nearest = (mark / spec.tick_size).to_integral_value(rounding) * spec.tick_size
        prices = (nearest + side.sign * number * depth.spacing for number in range(1, depth.levels + 1))
        offers = (Offer(price, depth.quantity - self._taken.get((symbol, side, price), ZERO)) for price in prices)
        return [offer for offer in offers if offer.price > 0 and offer.quantity > 0]

    def take(self, symbol: str, side: Side, offer: Offer) -> None:
        """Take `offer`'s quantity off its price."""
        if self._depths[symbol].refills:
            return
        key = symbol, side, offer.price
        self._taken[key] = self._taken.get(key, ZERO) + offer.quantity

    def refill(self, symbol: str) -> None:
        """The market moved: what was taken of the old offers says nothing about the new ones."""
        for key in [key for key in self._taken if key[0] == symbol]:
            del self._taken[key]


def default_depth(spec: SymbolSpec) -> Depth:
    """Twenty levels a tick apart, each worth about 100000 at the symbol's first mark price."""
    steps = (DEFAULT_NOTIONAL / spec.mark_price / spec.step_size).to_integral_value(ROUND_FLOOR)
    return Depth(levels=DEFAULT_LEVELS, quantity=max(steps, Decimal(1)) * spec.step_size, spacing=spec.tick_size)


def takeable(offers: Iterable[Offer], side: Side, quantity: Decimal, limit: Decimal) -> list[Offer]:
    """The parts of `offers` that an order takes at `limit` or better, until it has its `quantity`."""
    taken: list[Offer] = []
    for offer in offers:
        part = min(quantity, offer.quantity)
        if part <= 0 or (offer.price - limit) * side.sign > 0:
            break
        taken.append(Offer(offer.price, part))
        quantity -= part
    return taken
