"""`accountsync status`: one account on one screen."""

import json
from datetime import UTC, datetime

import click

from accountsync.cli.account import Account
from accountsync.cli.cluster import Cluster
from accountsync.cli.connection import ClusterError, Place
from accountsync.cli.doing import NOT_FOUND, carry_out
from accountsync.cli.screen import document, screen
from accountsync.cli.selection import Selection, Target, placing, suggested


@click.command()
@click.argument("name")
@click.option("-n", "--namespace", default="", help="Its namespace.  [default: the kubeconfig context's]")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@placing
def status(name: str, namespace: str, output: str, place: Place) -> None:
    """Show whether a bot is stopped, by what, what differs, and how to resume.

    Needs the right to get tradingaccounts.
    """
    selection = Selection((name,), namespace, everywhere=False, everything=False, selector="")

    async def work(cluster: Cluster) -> int:
        (target,) = await selection.targets(cluster)
        account = await shown(cluster, target)
        now = datetime.now(UTC)
        click.echo(json.dumps(document(account, now), indent=2) if output == "json" else screen(account, now))
        return 0

    carry_out(place, work)


async def shown(cluster: Cluster, target: Target) -> Account:
    """The account as it is now. Raises ClusterError, with names that are like it where it isn't there."""
    try:
        return Account.of(await cluster.get(target.namespace, target.name))
    except ClusterError as error:
        if error.status != NOT_FOUND:
            raise
        raise ClusterError(error.status, f"{error}{await suggested(cluster, target)}") from None
