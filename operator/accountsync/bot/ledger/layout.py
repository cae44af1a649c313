"""The documented relations of a ledger, and whether a database has them.

In:  PostgreSQL's catalogue, which needs no privilege on what it describes. Out: every `Flaw`, worst first.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from accountsync.bot.ledger.connecting import Connection
from accountsync.bot.ledger.migrations import INSERTED, UPDATED
from accountsync.errors import Reason


class Kind(StrEnum):
    """What a column may hold, in words for people."""

    TEXT = "text (also varchar, uuid, an integer or an enum)"
    NUMBER = "numeric (also an integer; never a binary float, money or text)"
    TIME = "timestamptz (also timestamp, which is taken as UTC)"
    FLAG = "boolean"


_TYPES: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.TEXT: frozenset({"text", "varchar", "bpchar", "name", "uuid", "int2", "int4", "int8", "citext"}),
    Kind.NUMBER: frozenset({"numeric", "int2", "int4", "int8"}),
    Kind.TIME: frozenset({"timestamptz", "timestamp"}),
    Kind.FLAG: frozenset({"bool"}),
}


def _columns(text: str = "", number: str = "", time: str = "", flag: str = "") -> dict[str, Kind]:
    kinds = ((text, Kind.TEXT), (number, Kind.NUMBER), (time, Kind.TIME), (flag, Kind.FLAG))
    return {name: kind for names, kind in kinds for name in names.split()}


LAYOUT: Final[Mapping[str, Mapping[str, Kind]]] = {
    "orders": _columns(
        "profile order_key symbol client_order_id exchange_order_id trade_id sub_tag side purpose status",
        "quantity filled price",
        "created_at updated_at",
    ),
    "slices": _columns(
        "profile trade_id sub_tag symbol side entry_client_order_id status",
        "quantity entry_price",
        "opened_at closed_at updated_at",
    ),
    "heartbeat": _columns("profile boot_id", "", "as_of", "ready"),
    "positions": _columns("profile symbol side", "quantity", "updated_at"),
    "trade_history": _columns(
        "profile event_id trade_id sub_tag symbol kind client_order_id exchange_order_id reason",
        "quantity price",
        "at",
        "synthetic",
    ),
    "used_fills": _columns("profile symbol fill_id event_id"),
    "capital_ledger": _columns("profile", "allocated reserved realised_pnl", "updated_at"),
}
BELIEF: Final = ("orders", "slices", "heartbeat")
"""The relations that a belief is read from."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that the documented layout has and the database has not."""

    reason: Reason
    text: str


_CATALOGUE: Final = """
SELECT c.relname::text, a.attname::text, coalesce(nullif(b.typname, ''), t.typname)::text,
       coalesce(b.typtype, t.typtype)::text,
       pg_catalog.has_schema_privilege(n.oid, 'USAGE'),
       pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT'),
       pg_catalog.has_table_privilege(c.oid, 'INSERT'),
       pg_catalog.has_table_privilege(c.oid, 'UPDATE')
FROM pg_catalog.pg_namespace n
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype
WHERE n.nspname = %s AND c.relname = ANY(%s)
"""


async def flaws(
    connection: Connection, schema: str, relations: Collection[str] = BELIEF, *, writes: bool = False
) -> list[Flaw]:
    """What `relations` of `schema` lack; with `writes` also the privileges to reconcile."""
    rows = await (await connection.execute(_CATALOGUE, (schema, list(relations)))).fetchall()
    found: dict[str, dict[str, tuple[str, str, bool]]] = {}
    rights: dict[str, tuple[bool, bool, bool]] = {}
    for relation, column, type_, family, usage, select, insert, update in rows:
        found.setdefault(relation, {})[column] = (type_, family, select)
        rights[relation] = (usage, insert, update)
    if rows and not rows[0][4]:
        return [Flaw(Reason.STATE_FORBIDDEN, f"the role may not use the schema {schema}: GRANT USAGE")]
    result: list[Flaw] = []
    for relation in relations:
        if relation not in found:
            text = f"{schema}.{relation} does not exist: apply `accountsync ledger schema`, or make a view of that name"
            result.append(Flaw(Reason.STATE_NOT_FOUND, text))
            continue
        result += _columns_lacking(f"{schema}.{relation}", LAYOUT[relation], found[relation])
        _, insert, update = rights[relation]
        for right, has, needing in (("INSERT", insert, INSERTED), ("UPDATE", update, UPDATED)):
            if writes and relation in needing and not has:
                text = f"{schema}.{relation}: the role lacks {right} on it: GRANT it"
                result.append(Flaw(Reason.STATE_FORBIDDEN, text))
    return result


def _columns_lacking(
    relation: str, wanted: Mapping[str, Kind], found: Mapping[str, tuple[str, str, bool]]
) -> list[Flaw]:
    result = []
    for column, kind in wanted.items():
        if column not in found:
            result.append(Flaw(Reason.STATE_NOT_FOUND, f"{relation} has no column {column}: expected {kind}"))
            continue
        type_, family, select = found[column]
        if not (type_ in _TYPES[kind] or (kind is Kind.TEXT and family == "e")):
            text = f"{relation}.{column} is of a type that is not taken: expected {kind}"
            result.append(Flaw(Reason.STATE_MALFORMED, text))
        elif not select:
            text = f"{relation}.{column}: the role lacks SELECT on it: GRANT it"
            result.append(Flaw(Reason.STATE_FORBIDDEN, text))
    return result
