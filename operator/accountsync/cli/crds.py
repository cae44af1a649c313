"""`accountsync crds`: the CustomResourceDefinitions, printed, written or compared."""

from pathlib import Path

import click

from accountsync.api import crd

_HINT_LINES = 40


@click.command()
@click.option(
    "--write",
    "write_to",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the files into this folder.",
)
@click.option(
    "--check",
    "check_in",
    type=click.Path(file_okay=False, path_type=Path),
    help="Exit with 1 if the files in this folder are not what the models say.",
)
def crds(write_to: Path | None, check_in: Path | None) -> None:
    """Print the CustomResourceDefinitions, e.g. for `kubectl apply --server-side -f -`."""
    if write_to and check_in:
        raise click.UsageError("give --write or --check, not both")
    if write_to:
        for path in crd.write(write_to):
            click.echo(f"wrote {path}")
    elif check_in:
        _check(check_in)
    else:
        click.echo("---\n".join(crd.render().values()), nl=False)


def _check(folder: Path) -> None:
    lines = crd.drift(folder).splitlines()
    if not lines:
        return
    shown = "\n".join(lines[:_HINT_LINES])
    more = f"\n… and {len(lines) - _HINT_LINES} more lines" if len(lines) > _HINT_LINES else ""
    raise click.ClickException(
        f"{folder} is not what the models in operator/accountsync/api say; run `make crds`.\n{shown}{more}"
    )
