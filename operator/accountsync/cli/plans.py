"""`accountsync plans`: what would be done about findings, and what became of it."""

from datetime import UTC, datetime

import click

from accountsync.cli.cluster import Cluster
from accountsync.cli.connection import Place
from accountsync.cli.doing import carry_out
from accountsync.cli.planned import StoredPlan
from accountsync.cli.selection import placing


@click.command()
@click.argument("account", default="")
@click.option("-n", "--namespace", default="", help="Their namespace.  [default: the kubeconfig context's]")
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Those of all namespaces.")
@placing
def plans(account: str, namespace: str, *, everywhere: bool, place: Place) -> None:
    """Show what would be done about findings, and what became of it.

    Of one ACCOUNT, or of all in the namespace; those that are open come first. Needs the right to list
    remediationplans.
    """
    if everywhere and (account or namespace):
        raise click.UsageError("-A is for all namespaces: not with -n or an ACCOUNT")

    async def work(cluster: Cluster) -> int:
        where = "" if everywhere else namespace or cluster.namespace
        found = [plan for body in await cluster.plans(where) if account in {"", (plan := StoredPlan.of(body)).account}]
        if not found:
            of = f" of {account}" if account else ""
            click.echo(f"no plans{of} in {f'namespace {where}' if where else 'any namespace'}")
        now = datetime.now(UTC)
        found.sort(key=lambda plan: plan.metadata["creationTimestamp"], reverse=True)
        for plan in sorted(found, key=lambda plan: not plan.open):
            click.echo("\n".join(plan.lines(now)))
            if not plan.unapprovable(now):
                name = plan.metadata["name"]
                click.echo(f"  approve it: accountsync approve {name} -n {plan.metadata['namespace']}")
        return 0

    carry_out(place, work)
