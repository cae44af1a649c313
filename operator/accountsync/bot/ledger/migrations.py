"""The SQL that makes the documented schema, by numbered files that are applied once each, in order.

In:  the name of a schema. Out: SQL for psql, which does nothing where all of it was applied before.
"""

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

SCHEMA_NAME: Final = r"[a-z_][a-z0-9_]{0,62}"
_FILE: Final = re.compile(r"(?P<number>[0-9]{4})_(?P<name>[a-z_]+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its `number`, counted from 1, its name, and its SQL, which names no schema."""

    number: int
    name: str
    sql: str


def migrations() -> list[Migration]:
    """All of them, in order."""
    folder = files("accountsync.bot.ledger").joinpath("sql")
    named = ((entry, _FILE.fullmatch(entry.name)) for entry in folder.iterdir())
    found = [
        Migration(int(match["number"]), match["name"], entry.read_text(encoding="utf-8"))
        for entry, match in named
        if match
    ]
    return sorted(found, key=lambda migration: migration.number)


def schema_sql(schema: str) -> str:
    """One transaction that brings `schema` up to date. Raises ValueError for a name that the spec would not take."""
    if re.fullmatch(SCHEMA_NAME, schema) is None:
        raise ValueError("the schema's name must be lower-case letters, digits and '_', not beginning with a digit")
    head = f"""\
-- The ledger's schema, to be applied with psql. Applying it again changes nothing.
BEGIN;
CREATE SCHEMA IF NOT EXISTS "{schema}";
SET LOCAL search_path TO "{schema}";
CREATE TABLE IF NOT EXISTS schema_version (
    version integer PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
LOCK TABLE schema_version IN EXCLUSIVE MODE;
"""
    return head + "".join(_once(migration) for migration in migrations()) + "COMMIT;\n"


def grants_sql(schema: str, role: str, *, writes: bool = True) -> str:
    """What the operator's role needs: with `writes` also to reconcile, else only to read (mode Observe)."""
    if re.fullmatch(SCHEMA_NAME, schema) is None or re.fullmatch(SCHEMA_NAME, role) is None:
        raise ValueError("the names of schema and role must be lower-case letters, digits and '_'")
    lines = [
        f'GRANT USAGE ON SCHEMA "{schema}" TO "{role}";',
        f'GRANT SELECT ON ALL TABLES IN SCHEMA "{schema}" TO "{role}";',
    ]
    if writes:
        insert = ", ".join(f'"{schema}".{name}' for name in INSERTED)
        update = ", ".join(f'"{schema}".{name}' for name in UPDATED)
        lines += [f'GRANT INSERT ON {insert} TO "{role}";', f'GRANT UPDATE ON {update} TO "{role}";']
    return "\n".join(lines) + "\n"


INSERTED: Final = ("orders", "slices", "positions", "trade_history", "used_fills")
"""The relations into which a reconciliation inserts."""
UPDATED: Final = ("orders", "slices", "positions", "capital_ledger")
"""Those whose rows it changes. It deletes nowhere."""


def _once(migration: Migration) -> str:
    body = "\n".join(f"    {line}".rstrip() for line in migration.sql.strip().splitlines())
    return f"""\
DO $migration$
BEGIN
IF NOT EXISTS (SELECT FROM schema_version WHERE version = {migration.number}) THEN
{body}
    INSERT INTO schema_version (version, name) VALUES ({migration.number}, '{migration.name}');
END IF;
END
$migration$;
"""
