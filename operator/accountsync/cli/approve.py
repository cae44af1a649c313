"""`accountsync approve`: let a plan be carried out, exactly as it was shown."""

import sys
from datetime import UTC, datetime

import click

from accountsync.cli.cluster import Cluster
from accountsync.cli.connection import ClusterError, Place
from accountsync.cli.doing import carry_out, confirmed
from accountsync.cli.planned import StoredPlan
from accountsync.cli.selection import Selection, placing

CONFLICT = 409


@click.command()
@click.argument("plan")
@click.option("-n", "--namespace", default="", help="Its namespace.  [default: the kubeconfig context's]")
@click.option("--yes", is_flag=True, help="Do not ask.")
@placing
def approve(plan: str, namespace: str, *, yes: bool, place: Place) -> None:
    """Let a plan be carried out.

    Shows what it does and asks. Approving can't be taken back; what is approved is what was shown, or nothing. The
    operator then looks at the account once more, and does only what is still called for. Needs the right to get and
    patch remediationplans. Exit code 1: it was not approved.
    """
    selection = Selection((plan,), namespace, everywhere=False, everything=False, selector="")

    async def work(cluster: Cluster) -> int:
        await cluster.introduce()
        (target,) = await selection.targets(cluster)
        shown = StoredPlan.of(await cluster.plan(target.namespace, target.name))
        now = datetime.now(UTC)
        click.echo("\n".join([*shown.lines(now), *shown.action_lines()]))
        if why := shown.unapprovable(now):
            return _not_approved(why)
        if not yes:
            if not sys.stdin.isatty():
                return _not_approved("nobody to ask here; give --yes")
            if not confirmed(f"Approve {target}?"):
                return _not_approved("left as it is")
        try:
            await cluster.approve(target.namespace, target.name, shown.version)
        except ClusterError as error:
            if error.status != CONFLICT:
                raise
            return _not_approved("it has changed since it was shown: look again")
        click.echo(f"approved; accountsync plans {shown.account} -n {target.namespace}  shows what becomes of it")
        return 0

    carry_out(place, work)


def _not_approved(why: str) -> int:
    click.echo(f"NOT approved: {why}", err=True)
    return 1
