"""The documented schema: made by migrations, granted, checked from the command line, and its locks."""

import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.ledger.desk import PROFILE, Desk, documented_sql
from tests.support.postgres import ROLE, Postgres

from accountsync.api.sources import Parity
from accountsync.bot.ledger.keys import Lock, lock_key
from accountsync.bot.ledger.layout import LAYOUT
from accountsync.bot.ledger.migrations import grants_sql, migrations, schema_sql
from accountsync.cli import main

RUNBOOK_NAMES = 12


def called(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["ledger", *arguments])


@pytest.fixture
def dsn(postgres: Postgres, tmp_path: Path) -> Path:
    file = tmp_path / "dsn"
    file.write_text(postgres.dsn() + "\n")
    return file


@pytest.fixture
def admin(postgres: Postgres, tmp_path: Path) -> Path:
    file = tmp_path / "admin"
    file.write_text(postgres.dsn(user="postgres"))
    return file


def test_the_migrations_are_numbered_without_a_gap() -> None:
    assert [migration.number for migration in migrations()] == list(range(1, len(migrations()) + 1))


def test_psql_applies_the_schema_and_applying_it_again_changes_nothing(postgres: Postgres, tmp_path: Path) -> None:
    file = tmp_path / "schema.sql"
    file.write_text(called("schema", "--schema", "by_psql").output)
    command = [postgres.binary("psql"), postgres.dsn(user="postgres"), "-v", "ON_ERROR_STOP=1", "-qf", str(file)]
    made = "SELECT version, name, applied_at FROM by_psql.schema_version ORDER BY 1"
    subprocess.run(command, check=True, capture_output=True)
    first = postgres.run(made)
    postgres.run("INSERT INTO by_psql.heartbeat VALUES ('grid', now(), 'b', true)")
    subprocess.run(command, check=True, capture_output=True)
    assert postgres.run(made) == first
    assert [row[0] for row in first] == [migration.number for migration in migrations()]
    assert postgres.run("SELECT profile FROM by_psql.heartbeat") == [("grid",)]


def test_a_later_version_applies_only_what_is_new(postgres: Postgres) -> None:
    postgres.run(schema_sql("partly"))
    postgres.run("DELETE FROM partly.schema_version WHERE version = 2")
    for index in postgres.run("SELECT indexname FROM pg_indexes WHERE schemaname = 'partly' AND indexdef !~ 'pkey'"):
        postgres.run(f"DROP INDEX partly.{index[0]}")
    postgres.run(schema_sql("partly"))
    assert postgres.run("SELECT 1 FROM pg_indexes WHERE schemaname = 'partly' AND indexname = 'slices_open'")


def test_a_database_is_made_granted_and_found_to_be_as_documented(postgres: Postgres, dsn: Path, admin: Path) -> None:
    postgres.schema()
    applied = called("apply", "--schema", "made", "--dsn-file", str(admin))
    assert applied.output == "made: up to date\n"
    lacking = called("check", "--schema", "made", "--dsn-file", str(dsn))
    assert (lacking.exit_code, lacking.output) == (1, "the role may not use the schema made: GRANT USAGE\n")
    postgres.run(called("grants", "--schema", "made", "--role", ROLE, "--read-only").output)
    reading = called("check", "--schema", "made", "--dsn-file", str(dsn), "--read-only")
    assert (reading.exit_code, reading.output) == (0, "made: as documented, to be read\n")
    writing = called("check", "--schema", "made", "--dsn-file", str(dsn))
    assert writing.exit_code == 1
    assert "made.used_fills: the role lacks INSERT on it: GRANT it" in writing.output.splitlines()
    assert not re.search("DELETE|TRUNCATE", grants_sql("made", ROLE)), "nothing is ever deleted"
    postgres.run(called("grants", "--schema", "made", "--role", ROLE).output)
    well = called("check", "--schema", "made", "--dsn-file", str(dsn), "--profile", PROFILE)
    assert well.output == "made: as documented, to be read and reconciled\nprofile grid: 0 open orders, 0 symbols\n"


def test_a_database_that_cannot_be_asked_is_told_without_its_dsn(tmp_path: Path) -> None:
    file = tmp_path / "dsn"
    for dsn, text in (
        ("postgresql://u:hunter2@127.0.0.1:1/d?sslmode=disable", "no connection to the database"),
        ("hunter2", "is no connection string"),
        ("postgresql://u:hunter2@169.254.169.254/d", "no allow-list allows it"),
    ):
        file.write_text(dsn)
        ended = called("check", "--dsn-file", str(file))
        assert ended.exit_code == 2
        assert text in ended.output
        assert "hunter2" not in ended.output


def test_names_that_are_none_are_refused(dsn: Path) -> None:
    for arguments in (
        ("schema", "--schema", 'x"; DROP'),
        ("grants", "--role", "x; DROP"),
        ("apply", "--schema", "X", "--dsn-file", str(dsn)),
    ):
        ended = called(*arguments)
        assert ended.exit_code == 2
        assert "lower-case letters, digits and '_'" in ended.output


def test_the_documented_sql_computes_the_keys_of_the_locks(postgres: Postgres) -> None:
    text = documented_sql("the locks")
    for lock in Lock:
        (key,) = re.findall(rf"\((\('x' \|\| left\(md5\('accountsync/{lock}/.*::bigint)\)", text)
        assert postgres.run(f"SELECT {key}") == [(lock_key(lock, "accountsync", "grid-btc"),)]


def test_the_documentation_names_every_relation_and_only_fields_that_exist() -> None:
    text = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text(encoding="utf-8")
    assert all(f"| `{relation}` |" in text for relation in LAYOUT)
    rows = re.findall(r"^\| `((?:ENABLE_)?RECON_\w+)` \| `([\w.]+)`", text, re.MULTILINE)
    assert len(rows) == RUNBOOK_NAMES
    own = {field.alias or name for name, field in Parity.model_fields.items()}
    assert {field for _, field in rows if not field.startswith("spec.watchdog.")} == own


def test_the_indexes_serve_100_000_open_slices_among_a_million_rows(postgres: Postgres) -> None:
    """By what the planner chooses, which is the same on every machine."""
    desk = Desk(postgres, postgres.schema())
    desk.run(
        "INSERT INTO slices SELECT 'grid', 't' || n, NULL, 'S' || n % 50, 'long', NULL, (n % 20 = 0)::int, 1,"
        " CASE WHEN n % 20 = 0 THEN 'open' ELSE 'closed' END, now(), now(), now() FROM generate_series(1, 20000) n;"
        " ANALYZE slices"
    )
    plans = {
        "SELECT symbol, sum(quantity) FROM slices WHERE profile::text = 'grid' AND status::text IS DISTINCT FROM"
        " 'closed' GROUP BY symbol": "slices_open",
        "SELECT * FROM slices WHERE profile::text = 'grid' AND trade_id::text = 't7' FOR UPDATE": "slices_pkey",
        "SELECT sum(quantity) FROM slices WHERE profile::text = 'grid' AND symbol::text = 'S7'"
        " AND status::text IS DISTINCT FROM 'closed'": "slices_open",
    }
    for query, index in plans.items():
        plan = "\n".join(str(row[0]) for row in desk.run(f"EXPLAIN {query}"))
        assert index in plan, plan
