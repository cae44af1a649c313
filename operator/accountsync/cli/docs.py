"""accountsync docs: the pages that are generated from the code."""

import sys
from pathlib import Path

import click

from accountsync.bot.state import schema_text
from accountsync.domain.catalogue import CATALOGUE, Row, Rule


@click.command()
@click.option("--write", type=click.Path(path_type=Path, file_okay=False), help="Write the pages into this folder.")
@click.option("--check", type=click.Path(path_type=Path, file_okay=False), help="Fail if a page there is out of date.")
def docs(write: Path | None, check: Path | None) -> None:
    """Write or check the generated pages: the catalogue of findings, and the schema of a bot's state."""
    pages = {"findings.md": findings(), "state.schema.json": schema_text()}
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
    """The catalogue as a page."""
    head = (
        "<!-- Generated from operator/accountsync/domain/catalogue.py by `make docs`. -->\n"
        "# Findings\n\n"
        "A finding is *open* at first sight, *confirmed* after grace and confirmations (those marked “at once” need\n"
        "neither), and *resolved* when a good snapshot no longer shows it. Only confirmed ones are told.\n\n"
        "| finding | raised when | severity | metric label `rule` | Runbook 11 type | desync | ledger |\n"
        "|---|---|---|---|---|---|---|\n"
    )
    return head + "".join(_line(row) for row in CATALOGUE.values())


def _line(row: Row) -> str:
    severity = row.severity.word + (", at once" if row.at_once else "")
    if row.rule is Rule.UNEXPECTED_ORDER:
        severity = "high with the bot's prefix, else warning"
    cells = [row.account_sync, row.reconcile, row.desync, row.ledger]
    names = " | ".join(f"`{cell}`" if cell else "" for cell in cells)
    return f"| {row.rule} | {row.meaning} | {severity} | {names} |\n"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
