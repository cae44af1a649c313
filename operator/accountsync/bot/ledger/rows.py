"""Rows of a ledger, as SQL that asks for them and as the plain data that they become.

Invariants:
1. Whatever is not of the documented form is `Malformed` with relation, row and column; nothing else of a row is ever
   repeated. A `version` is over the values that are judged, and can be had of a view as well as of a table.
2. A value that is too long is never fetched whole, so that a few rows are a few kilobytes, whoever wrote them.
3. Operators and functions are given exactly the types that PostgreSQL's own ones take: no other can be meant by them,
   whatever somebody created in a schema of the search path.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

from accountsync.domain.account import OrderStatus, Side
from accountsync.domain.ledger import LedgerOrder, Purpose, Slice, SliceSide
from accountsync.errors import BeliefUnobserved, Reason
from accountsync.ports import Canonical

LIMIT: Final = Decimal("1e20")
DECIMALS: Final = 18
NUMBER_RULE: Final = f"must be a number from 0 to below 1e20 with at most {DECIMALS} decimals"
LONGEST: Final = 256
TEXT_RULE: Final = f"must be at most {LONGEST} octets"
_PRICE_RULE: Final = f"must be a number between -1e20 and 1e20 with at most {DECIMALS} decimals"

OPEN: Final = "status::text IS DISTINCT FROM 'closed'"
"""What is not said to be closed is open, or malformed."""
ACTIVE: Final = "(status::text IS NULL OR status::text NOT IN ('filled', 'canceled', 'expired', 'rejected'))"

_CUT: Final = "\x01"
"""Ends what is left of a text that is too long."""
_NUMBERS: Final = frozenset({"quantity", "entry_price", "filled", "price"})
_SLICE_NAMES: Final = (
    "trade_id", "sub_tag", "symbol", "side", "entry_client_order_id", "quantity", "entry_price", "status",
)  # fmt: skip
_ORDER_NAMES: Final = (
    "order_key", "symbol", "client_order_id", "exchange_order_id", "trade_id", "sub_tag", "side", "purpose", "quantity",
    "filled", "price", "status",
)  # fmt: skip


def ms(moment: str) -> str:
    """SQL: a time as Unix milliseconds."""
    return f"floor(extract(epoch FROM {moment}::timestamptz) * 1000::numeric)::bigint"


def too_long(column: str) -> str:
    """SQL: whether a text is longer than one may be."""
    return f"octet_length({column}::text) > {LONGEST}"


def text(column: str) -> str:
    """SQL: a text, or the beginning of one that is too long."""
    return f"CASE WHEN {too_long(column)} THEN left({column}::text, 60) || chr(1) ELSE {column}::text END"


def number(value: str) -> str:
    """SQL: a number; NaN for one that has too many digits to be worth fetching."""
    value = f"{value}::numeric"
    wrong = f"abs({value}) >= {LIMIT:f}::numeric OR scale(trim_scale({value})) > {DECIMALS}"
    return f"CASE WHEN {wrong} THEN 'NaN'::numeric ELSE trim_scale({value}) END"


def _columns(names: Sequence[str], time: str) -> str:
    values = ", ".join(f"{name}::{'numeric' if name in _NUMBERS else 'text'}" for name in names)
    fetched = ", ".join(number(name) if name in _NUMBERS else text(name) for name in names)
    return f"{fetched}, {ms(time)}, md5(ROW({values})::text)"


SLICE_COLUMNS: Final = _columns(_SLICE_NAMES, "opened_at")
ORDER_COLUMNS: Final = _columns(_ORDER_NAMES, "created_at")


def unusable(column: str) -> str:
    """SQL: whether a quantity is none. NaN is greater than all numbers, so the limits see it, too."""
    value = f"{column}::numeric"
    return (
        f"({column} IS NULL OR {value} < 0::numeric OR {value} >= {LIMIT:f}::numeric"
        f" OR scale(trim_scale({value})) > {DECIMALS})"
    )


def shown(text: object) -> str:
    """The key of a row, for people: what may not stand in a message is replaced, and it is cut."""
    return re.sub(r"[^-A-Za-z0-9._:/@#+]", "?", str(text))[:64] or "(empty)"


def malformed(source: str, relation: str, key: object, text: str) -> BeliefUnobserved:
    """A row that is not of the documented form. `text`: the column, and what it must be."""
    return BeliefUnobserved(Reason.STATE_MALFORMED, f"{source}: {relation}, row {shown(key)}: {text}")


class Reader:
    """Makes plain data of rows. `canonical` gives unified symbols; None leaves the ledger's own."""

    def __init__(self, source: str, schema: str, canonical: Canonical | None = None) -> None:
        self._source = source
        self._schema = schema
        self._canonical: Callable[[str], str] | None = canonical
        self._symbols: dict[str, str] = {}

    def slice(self, row: Sequence[Any]) -> Slice:
        """A row of SLICE_COLUMNS. Raises BeliefUnobserved."""
        trade_id, sub_tag, symbol, side, entry, quantity, price, status, opened, version = row
        fault = self._fault("slices", trade_id)
        _refuse_cut(_SLICE_NAMES, row, fault)
        if not trade_id:
            raise fault("trade_id must not be empty")
        if status != "open":
            raise fault("status must be open or closed")
        if side not in ("long", "short"):
            raise fault("side must be long or short")
        if opened is None:
            raise fault("opened_at must not be NULL")
        return Slice(
            trade_id=trade_id,
            symbol=self.symbol(symbol, fault),
            side=SliceSide(side),
            quantity=_quantity(quantity, "quantity", fault),
            opened=opened,
            sub_tag=sub_tag or "",
            entry_client_id=entry or "",
            entry_price=_price(price, "entry_price", fault),
            version=version,
        )

    def order(self, row: Sequence[Any]) -> LedgerOrder:
        """A row of ORDER_COLUMNS. Raises BeliefUnobserved."""
        (
            key,
            symbol,
            client,
            exchange,
            trade_id,
            tag,
            side,
            purpose,
            quantity,
            filled,
            price,
            status,
            created,
            version,
        ) = row
        fault = self._fault("orders", key)
        _refuse_cut(_ORDER_NAMES, row, fault)
        if not key:
            raise fault("order_key must not be empty")
        if side not in ("buy", "sell"):
            raise fault("side must be buy or sell")
        if purpose not in ("entry", "exit"):
            raise fault("purpose must be entry or exit")
        if status not in _STATUSES:
            raise fault(f"status must be one of {', '.join(_STATUSES)}")
        if status == "open" and not (client or exchange):
            raise fault("an open order needs a client_order_id or an exchange_order_id")
        return LedgerOrder(
            key=key,
            symbol=self.symbol(symbol, fault),
            side=Side(side),
            purpose=Purpose(purpose),
            quantity=_quantity(quantity, "quantity", fault),
            filled=_quantity(filled, "filled", fault),
            status=OrderStatus(status),
            client_id=client or "",
            exchange_id=exchange or "",
            trade_id=trade_id or "",
            sub_tag=tag or "",
            price=_price(price, "price", fault),
            created=created,
            version=version,
        )

    def symbol(self, text: Any, fault: Callable[[str], BeliefUnobserved]) -> str:
        """`text`, unified if that is wanted."""
        if text in self._symbols:
            return self._symbols[text]
        if not isinstance(text, str) or re.fullmatch(r"[^\x00-\x20\x7f]{1,64}", text) is None:
            raise fault("symbol must be 1 to 64 characters without spaces")
        try:
            unified = self._canonical(text) if self._canonical else text
        except KeyError:
            raise fault("symbol is none that the exchange lists") from None
        self._symbols[text] = unified
        return unified

    def unified(self, text: Any) -> str:
        """As `symbol`; empty for one that may not be listed any more, or is none."""
        try:
            return self.symbol(text, lambda why: BeliefUnobserved(Reason.STATE_MALFORMED, why))
        except BeliefUnobserved:
            return ""

    def quantity(self, relation: str, key: object, value: Any) -> Decimal:
        """A quantity of another relation. Raises BeliefUnobserved."""
        return _quantity(value, "quantity", self._fault(relation, key))

    def _fault(self, relation: str, key: object) -> Callable[[str], BeliefUnobserved]:
        return lambda text: malformed(self._source, f"{self._schema}.{relation}", key, text)


def _refuse_cut(names: Sequence[str], row: Sequence[Any], fault: Callable[[str], BeliefUnobserved]) -> None:
    for name, value in zip(names, row, strict=False):
        if isinstance(value, str) and value.endswith(_CUT):
            raise fault(f"{name} {TEXT_RULE}")


_STATUSES: Final = ("open", "filled", "canceled", "expired", "rejected")


def _quantity(value: Any, column: str, fault: Callable[[str], BeliefUnobserved]) -> Decimal:
    if not isinstance(value, Decimal) or not value.is_finite() or not 0 <= value < LIMIT or not _short(value):
        raise fault(f"{column} {NUMBER_RULE}")
    return value


def _price(value: Any, column: str, fault: Callable[[str], BeliefUnobserved]) -> Decimal | None:
    if value is None:
        return None
    if not isinstance(value, Decimal) or not value.is_finite() or not abs(value) < LIMIT or not _short(value):
        raise fault(f"{column} {_PRICE_RULE}")
    return value


def _short(value: Decimal) -> bool:
    _, digits, exponent = value.as_tuple()
    extra = -DECIMALS - exponent if isinstance(exponent, int) else len(digits)
    return extra <= 0 or not any(digits[-extra:])
