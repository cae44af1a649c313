"""Decimals as Binance writes them: never an exponent, a fixed number of places for money, prices and quantities."""

from decimal import ROUND_HALF_UP, Decimal

ZERO = Decimal(0)
MONEY_PLACES = 8
ENTRY_PLACES = 12


def fixed(value: Decimal, places: int) -> str:
    """`value` with exactly `places` decimals, half up; zero carries no sign."""
    rounded = value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    return format(abs(rounded) if rounded == 0 else rounded, "f")


def money(value: Decimal) -> str:
    """An amount of an asset: eight decimals, as in ``"23.72469206"``."""
    return fixed(value, MONEY_PLACES)


def money_or_zero(value: Decimal) -> str:
    """As `money`, but nothing at all is a bare ``"0"``: how margins and notionals of positions are written."""
    return "0" if value == 0 else money(value)


def plain(value: Decimal) -> str:
    """Without trailing zeros: ``"0.385"``, ``"250000"``."""
    return "0" if value == 0 else format(value.normalize(), "f")


def entry(value: Decimal) -> str:
    """An average price: without trailing zeros but never without a point, as in ``"0.0"`` and ``"44525.0"``."""
    text = plain(value)
    return text if "." in text else f"{text}.0"


def rounded_entry(value: Decimal) -> Decimal:
    """An average price as it is kept: twelve decimals, so that what is shown is what is reckoned with."""
    return value.quantize(Decimal(1).scaleb(-ENTRY_PLACES), rounding=ROUND_HALF_UP)
