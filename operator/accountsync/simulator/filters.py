"""The filters of exchangeInfo: which prices and quantities an order may have.

Sources: "Filters" and the error-code page of Binance's USD-M futures documentation. More decimals than the symbol has
are -1111; decimals that it has, but between two ticks or steps, are -4014 and -4023.
"""

from decimal import Decimal

from accountsync.simulator.decimals import fixed
from accountsync.simulator.markets import SymbolSpec
from accountsync.simulator.model import Side
from accountsync.simulator.refusals import Refusal

MAX_OPEN_ORDERS = 200

Check = tuple[bool, int, str]


def check_price(spec: SymbolSpec, price: Decimal) -> None:
    """PRICE_FILTER, of a limit or a trigger price."""
    _pass(
        (price > 0, -4001, "Price less than 0."),
        (price <= spec.max_price, -4002, "Price greater than max price."),
        (_fits(price, spec.price_places), -1111, "Precision is over the maximum defined for this asset."),
        (price >= spec.tick_size, -4013, "Price less than min price."),
        (price % spec.tick_size == 0, -4014, "Price not increased by tick size."),
    )


def check_quantity(spec: SymbolSpec, quantity: Decimal, *, market: bool = False) -> None:
    """LOT_SIZE, or MARKET_LOT_SIZE."""
    most = spec.max_market_quantity if market else spec.max_quantity
    _pass(
        (quantity > 0, -4003, "Quantity less than zero."),
        (quantity <= most, -4005, "Quantity greater than max quantity."),
        (_fits(quantity, spec.quantity_places), -1111, "Precision is over the maximum defined for this asset."),
        (quantity >= spec.step_size, -4004, "Quantity less than min quantity."),
        (quantity % spec.step_size == 0, -4023, "Qty not increased by step size."),
    )


def check_notional(spec: SymbolSpec, notional: Decimal) -> None:
    """MIN_NOTIONAL, from which what can only reduce is exempt."""
    text = f"Order's notional must be no smaller than {spec.min_notional} (unless you choose reduce only)."
    _pass((notional >= spec.min_notional, -4164, text))


def check_distance(spec: SymbolSpec, side: Side, price: Decimal, mark: Decimal) -> None:
    """PERCENT_PRICE: a buy not too far above the mark price, a sale not too far below it."""
    limit = percent_bound(spec, side, mark)
    shown = fixed(limit, spec.price_places)
    if side is Side.BUY:
        _pass((price <= limit, -4016, f"Limit price can't be higher than {shown}."))
    else:
        _pass((price >= limit, -4024, f"Limit price can't be lower than {shown}."))


def percent_bound(spec: SymbolSpec, side: Side, mark: Decimal) -> Decimal:
    """The worst price that an order of `side` may be filled at."""
    return mark * (1 + side.sign * spec.percent_price)


def _fits(value: Decimal, places: int) -> bool:
    return value == round(value, places)


def _pass(*checks: Check) -> None:
    for passed, code, text in checks:
        if not passed:
            raise Refusal(code, text)
