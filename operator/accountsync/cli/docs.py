"""accountsync docs: the pages that are generated from the code."""

import sys
from pathlib import Path

import click

from accountsync.bot import repairs, state
from accountsync.domain.catalogue import CATALOGUE, Row
from accountsync.exchange.tested import TESTED


@click.command()
@click.option("--write", type=click.Path(path_type=Path, file_okay=False), help="Write the pages into this folder.")
@click.option("--check", type=click.Path(path_type=Path, file_okay=False), help="Fail if a page there is out of date.")
def docs(write: Path | None, check: Path | None) -> None:
    """Write or check the generated pages: findings, exchanges, and the schemas of what is exchanged with a bot."""
    pages = {
        "findings.md": findings(),
        "exchanges.md": exchanges(),
        "state.schema.json": state.schema_text(),
        "repair.schema.json": repairs.schema_text(),
    }
    if write:
        for name, text in pages.items():
            (write / name).write_text(text, encoding="utf-8")
    if check:
        old = [name for name, text in pages.items() if _read(check / name) != text]
        if old:
            click.echo(f"out of date in {check}: {', '.join(old)}: run `make docs`", err=True)
            sys.exit(1)
    if not write and not check:
        click.echo(pages["findings.md"], nl=False)


def findings() -> str:
    """The catalogue as a page: a table, and a section for each finding under its runbook anchor."""
    head = (
        "<!-- Generated from operator/accountsync/domain/catalogue.py by `make docs`. -->\n"
        "# Findings\n\n"
        "A finding is *open* at first sight, *confirmed* after grace and confirmations (those marked “at once” need\n"
        "neither), and *resolved* when a good snapshot no longer shows it. Only confirmed ones are told.\n\n"
        "| finding | raised when | severity | metric label `rule` | Runbook 11 type | desync | ledger |\n"
        "|---|---|---|---|---|---|---|\n"
    )
    rows = CATALOGUE.values()
    return "".join([head, *(_line(row) for row in rows), *(_section(row) for row in rows)])


def exchanges() -> str:
    """Which exchanges were run against what."""
    head = (
        "<!-- Generated from operator/accountsync/exchange/tested.py by `make docs`. -->\n"
        "# Exchanges\n\n"
        "`spec.exchange.id` takes every id that ccxt knows. None was run against the exchange itself: that takes an\n"
        "account there.\n\n"
        "| exchange | tested |\n"
        "|---|---|\n"
    )
    rows = [f"| {exchange} | {how} |\n" for exchange, how in sorted(TESTED.items())]
    others = "| every other | never run: it goes through ccxt's unified calls |\n"
    tail = (
        "\nAn account on one that was never run carries the condition `ExchangeUntested`, and an Event says so.\n"
        "Try it with `remediation.mode: Observe` first, and compare `status.snapshot` with the exchange's own page.\n"
    )
    return "".join([head, *rows, others, tail])


def _line(row: Row) -> str:
    cells = [row.account_sync, row.reconcile, row.desync, row.ledger]
    names = " | ".join(f"`{cell}`" if cell else "" for cell in cells)
    return f"| [{row.rule}](#{row.runbook}) | {row.meaning} | {_severity(row)} | {names} |\n"


def _severity(row: Row) -> str:
    words = row.severity.word
    if row.unless_own:
        words = f"{words} with the bot's prefix, else {row.unless_own.word}"
    return words + (", at once" if row.at_once else "")


def _section(row: Row) -> str:
    example = row.message.format(symbol="SYMBOL", id="ID", expected="EXPECTED", observed="OBSERVED")
    return (
        f"\n## {row.rule}\n\n"
        f"Raised when {row.meaning}.\n\n"
        f"- Message: “{example}”\n"
        f"- Severity: {_severity(row)}. Accepted by default: {row.tolerance}.\n"
        f'- In Prometheus: `grinder_account_sync_mismatches_total{{rule="{row.account_sync}"}}`\n'
    )


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
