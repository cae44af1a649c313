"""`accountsync ledger`: the schema of a ledger in PostgreSQL, and whether a database has it."""

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from accountsync.bot.address import AddressPolicy
from accountsync.bot.http import Secret
from accountsync.bot.ledger.dsn import CA_ENTRY, ENTRY, named_origin
from accountsync.bot.ledger.layout import BELIEF, LAYOUT, Flaw, flaws
from accountsync.bot.ledger.migrations import grants_sql, schema_sql
from accountsync.bot.ledger.pool import Pools
from accountsync.bot.ledger.postgres import PostgresLedger
from accountsync.bot.ledger.transaction import TROUBLES
from accountsync.bot.ledger.trouble import unobserved
from accountsync.cli.texts import printable
from accountsync.domain.expected import ExpectedState
from accountsync.errors import AccountSyncError

_SCHEMA = click.option("--schema", default="accountsync", show_default=True, help="The schema that holds the ledger.")
_DSN = click.option(
    "--dsn-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="A file with the DSN, as in the Secret's entry dsn; a command line would show it to others.",
)
_CA = click.option(
    "--ca-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The authority of the server's certificate, as in the Secret's entry ca.crt.",
)
_TIMEOUT = 10.0


@click.group()
def ledger() -> None:
    """Print or apply the schema of a ledger in PostgreSQL, and check a database."""


@ledger.command()
@_SCHEMA
def schema(schema: str) -> None:
    """Print the SQL that brings the schema up to date, for psql; applying it again changes nothing."""
    click.echo(_named(lambda: schema_sql(schema)), nl=False)


@ledger.command()
@_SCHEMA
@click.option("--role", required=True, help="The role of the operator's DSN.")
@click.option("--read-only", is_flag=True, help="Only what mode Observe needs.")
def grants(schema: str, role: str, *, read_only: bool) -> None:
    """Print the SQL that gives the operator's role what it needs, for psql."""
    click.echo(_named(lambda: grants_sql(schema, role, writes=not read_only)), nl=False)


@ledger.command()
@_SCHEMA
@_DSN
@_CA
def apply(schema: str, dsn_file: Path, ca_file: Path | None) -> None:
    """Bring the schema up to date, as a user who may create it."""
    text = _named(lambda: schema_sql(schema))

    async def work(checked: _Checked) -> None:
        await checked.apply(text)

    _run(work, schema, "", dsn_file, ca_file)
    click.echo(f"{schema}: up to date")


@ledger.command()
@_SCHEMA
@_DSN
@_CA
@click.option("--profile", help="Also read this profile's belief.")
@click.option("--read-only", is_flag=True, help="Only what mode Observe needs.")
def check(schema: str, dsn_file: Path, ca_file: Path | None, profile: str | None, *, read_only: bool) -> None:
    """Tell what of the documented layout and privileges a database lacks. Exit code 1: something; 2: not to be read."""

    async def work(checked: _Checked) -> tuple[list[Flaw], ExpectedState | None]:
        found = await checked.flaws(writes=not read_only)
        return found, await checked.ledger.read() if profile and not found else None

    found, belief = _run(work, schema, profile or "", dsn_file, ca_file)
    for flaw in found:
        click.echo(printable(flaw.text))
    if found:
        sys.exit(1)
    click.echo(f"{schema}: as documented{', to be read' if read_only else ', to be read and reconciled'}")
    if belief is not None:
        click.echo(f"profile {profile}: {len(belief.orders or ())} open orders, {len(belief.positions or ())} symbols")


class _Checked:
    """A database that a person named, and may therefore reach."""

    def __init__(self, pools: Pools, schema: str, profile: str, dsn: str, ca: str) -> None:
        async def secret() -> Secret:
            return {ENTRY: dsn, CA_ENTRY: ca}

        self._pools = pools
        self._schema = schema
        self.ledger = PostgresLedger(
            pools,
            secret,
            secret_name="file",  # noqa: S106 - what stands for a Secret's name in messages
            namespace="default",
            profile=profile,
            schema=schema,
            source="the database",
            timeout=_TIMEOUT,
        )

    async def flaws(self, *, writes: bool) -> list[Flaw]:
        """What is lacking."""
        async with (await self.ledger.pool()).connection(_TIMEOUT) as connection:
            await connection.set_read_only(True)
            found = await flaws(connection, self._schema, tuple(LAYOUT) if writes else BELIEF, writes=writes)
            await connection.rollback()
            return found

    async def apply(self, text: str) -> None:
        """Apply the migrations."""
        async with (await self.ledger.pool()).connection(_TIMEOUT) as connection:
            await connection.set_autocommit(True)
            await connection.execute(text.encode())


def _run(work: Any, schema: str, profile: str, dsn_file: Path, ca_file: Path | None) -> Any:
    dsn = dsn_file.read_text(encoding="utf-8").strip()
    ca = ca_file.read_text(encoding="utf-8") if ca_file else ""

    async def main() -> Any:
        origin = named_origin(dsn)
        pools = Pools(AddressPolicy([origin] if origin else []))
        try:
            asked: Coroutine[Any, Any, Any] = work(_Checked(pools, schema, profile, dsn, ca))
            return await asked
        finally:
            await pools.close()

    try:
        return asyncio.run(main())
    except TROUBLES as error:
        failure: AccountSyncError = unobserved(error, "the database")
        click.echo(f"Error: {printable(failure.message)}", err=True)
        sys.exit(2)


def _named(make: Any) -> str:
    try:
        text: str = make()
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return text
