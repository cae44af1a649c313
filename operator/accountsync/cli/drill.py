"""`accountsync drill`: prove that the judgement still finds what it must, and leave evidence of it."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from accountsync.drill.drills import DRILLS
from accountsync.drill.evidence import new_folder, write
from accountsync.drill.record import Played, play, results


class Unwritable(click.ClickException):
    """The evidence can't be kept. Exit code 2: nothing is known of the drills."""

    exit_code = 2


@click.command()
@click.option(
    "--artifacts",
    envvar="GRINDER_ARTIFACT_DIR",
    show_envvar=True,
    default=".artifacts",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Keep the evidence below this folder, in account_sync_fire_drill/TIME.",
)
@click.option("--evidence/--no-evidence", default=True, help="Keep it at all, or only tell by output and exit code.")
def drill(artifacts: Path, *, evidence: bool) -> None:
    """Put known faults before the real cycle and the real metrics, and check that each is found.

    No network, no keys, no cluster. Exit code 1 if an assertion failed, 2 if the evidence can't be written.
    """
    folder = None
    if evidence:
        with _kept_in(artifacts):
            folder = new_folder(artifacts)
    played = asyncio.run(_play_all())
    if folder is not None:
        with _kept_in(artifacts):
            digest = write(folder, played)
        click.echo(f"EVIDENCE_REF {folder} sha256sums={digest}")
    click.echo(results(played))
    sys.exit(1 if any(each.record.failed for each in played) else 0)


@contextmanager
def _kept_in(artifacts: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unwritable(f"the evidence can't be kept in {artifacts}: {error.strerror or error}") from None


async def _play_all() -> list[Played]:
    played = []
    for each in DRILLS:
        played.append(await play(each))
        for line in (*played[-1].record.lines, played[-1].record.marker):
            if line:
                click.echo(line)
    return played
