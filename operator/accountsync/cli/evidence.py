"""`accountsync evidence`: check bundles of evidence, and judge again what they hold."""

import sys
from collections.abc import Callable
from pathlib import Path

import click

from accountsync.cli.texts import printable
from accountsync.report.evidence_check import NotEvidenceError, Verdict
from accountsync.report.evidence_check import replay as replay_folder
from accountsync.report.evidence_check import verify as verify_folder

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


class UnusableError(click.ClickException):
    """DIR can't be checked at all."""

    exit_code = 2


@click.group()
def evidence() -> None:
    """Check bundles of evidence, and judge again what they hold.

    DIR is one bundle or a folder of them, such as .artifacts/account_sync. Exit code 1: something is wrong with them;
    2: DIR is not there, is no evidence or can't be read.
    """


@evidence.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
def verify(folder: Path) -> None:
    """Find whatever was changed, removed, added or renamed since it was written."""
    _conclude(folder, verify_folder, "nothing was changed")


@evidence.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
def replay(folder: Path) -> None:
    """Detect again, from the files alone, and compare with what was found then."""
    _conclude(folder, replay_folder, "the same is found again")


def _conclude(folder: Path, check: Callable[[Path], Verdict], well: str) -> None:
    try:
        verdict = check(folder)
    except (NotEvidenceError, OSError) as error:
        raise UnusableError(str(error)) from None
    count = f"{verdict.checked} bundle{'' if verdict.checked == 1 else 's'}"
    for problem in verdict.problems:
        click.echo(printable(problem))
    if verdict.note:
        click.echo(f"note: {verdict.note}", err=True)
    if verdict.problems:
        number = len(verdict.problems)
        click.echo(f"{count}: {number} problem{'' if number == 1 else 's'}", err=True)
        sys.exit(1)
    click.echo(f"{count}: {well}")
