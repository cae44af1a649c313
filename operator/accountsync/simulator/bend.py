"""How faults bend an answer's content: pure functions on the decoded payload. Each says whether it changed anything."""

from typing import Any

QUANTITY_FIELDS = ("origQty", "positionAmt", "walletBalance", "balance")
ROW_LISTS = ("positions", "assets")

Rows = list[dict[str, Any]]


def rows_of(payload: object) -> Rows:
    """The rows of a list answer, of an account's positions, or the one object itself."""
    if isinstance(payload, list):
        return [row for row in payload if isinstance(row, dict)]
    if isinstance(payload, dict):
        lists = [payload[name] for name in ROW_LISTS if payload.get(name)]
        return lists[0] if lists else [payload]
    return []


def duplicate(payload: object, differ: dict[str, Any]) -> bool:
    """Put the first row in twice, the second with `differ` laid over it."""
    rows: object = payload
    if isinstance(payload, dict):
        rows = next((payload[name] for name in ROW_LISTS if payload.get(name)), None)
    if not isinstance(rows, list) or not rows or not isinstance(rows[0], dict):
        return False
    rows.insert(1, {**rows[0], **differ})
    return True


def negate(payload: object) -> bool:
    """Give every quantity of an order, and every hedge leg, a sign that it cannot have."""
    changed = False
    for row in rows_of(payload):
        if "origQty" in row:
            row["origQty"] = f"-{row['origQty'].lstrip('-')}"
            changed = True
        elif row.get("positionSide") in ("LONG", "SHORT") and "positionAmt" in row:
            size = row["positionAmt"].lstrip("-")
            row["positionAmt"] = f"-{size}" if row["positionSide"] == "LONG" else size
            changed = True
    return changed


def garble(payload: object, text: str, name: str | None) -> bool:
    """Write `text` where the first row that has one holds its quantity."""
    for row in rows_of(payload):
        field = next((one for one in ((name,) if name else QUANTITY_FIELDS) if one in row), None)
        if field:
            row[field] = text
            return True
    return False
