"""`accountsync reset`: the full state reset, step by step, and from where it stood when it was broken off."""

import click

from accountsync.cli.account import Account
from accountsync.cli.cluster import Cluster
from accountsync.cli.connection import ClusterError, Place
from accountsync.cli.doing import NOT_FOUND, carry_out
from accountsync.cli.errand import Errand, Stopped
from accountsync.cli.reset_steps import objections, preview
from accountsync.cli.resetting import Course
from accountsync.cli.selection import Selection, Target, placing, suggested

PATIENCE = 180.0


@click.command()
@click.argument("account")
@click.option("-n", "--namespace", default="", help="Its namespace.  [default: the kubeconfig context's]")
@click.option("--yes", is_flag=True, help="Do not ask before the plan is approved.")
@click.option("--resume", is_flag=True, help="Let the bot trade again once all is clean.")
@click.option("--dry-run", is_flag=True, help="Show the steps and where they stand, and change nothing.")
@click.option("--abandon", is_flag=True, help="Forget the reset that is under way. The bot stays paused.")
@click.option(
    "--wait",
    type=click.FloatRange(0, 86_400),
    default=PATIENCE,
    metavar="SECONDS",
    show_default=True,
    help="For how long at most each step waits for the operator, or for the bot.",
)
@placing
def reset(
    account: str,
    namespace: str,
    *,
    yes: bool,
    resume: bool,
    dry_run: bool,
    abandon: bool,
    wait: float,
    place: Place,
) -> None:
    """Cancel and close everything of a bot's, and have it begin anew.

    Pauses the bot, has the operator plan the cancelling of all of its orders and the closing of all positions, shows
    that plan, asks, approves it, and waits until the exchange shows nothing of the bot's, until the bot believes in
    nothing, and until both agree. What was broken off goes on where it stood: give the same command again.

    It takes mode Enforce; the limits of the policy hold. Needs the rights to get and patch tradingaccounts, to list and
    patch remediationplans, and for --resume the verb resume. Exit code 1: it did not come to its end.
    """
    if abandon and (yes or resume or dry_run):
        raise click.UsageError("--abandon goes alone")
    if dry_run and (yes or resume):
        raise click.UsageError("--dry-run changes nothing: not with --yes or --resume")
    target = Selection((account,), namespace, everywhere=False, everything=False, selector="")
    under_way: list[Course] = []

    async def work(cluster: Cluster) -> int:
        await cluster.introduce()
        (one,) = await target.targets(cluster)
        seen = await _seen(cluster, one)
        if abandon:
            return await _abandoned(Errand(cluster, one, seen, wait), one)
        course = Course(cluster, one, seen, wait=wait, yes=yes, resume=resume)
        under_way.append(course)
        if dry_run:
            click.echo("\n".join(await preview(course.errand)))
        if why := objections(seen):
            return _failed(f"{why}. Nothing was changed", "")
        if dry_run:
            return 0
        try:
            await course.run()
        except (Stopped, ClusterError) as stopped:
            return _failed(str(stopped), course.hint)
        return 0

    try:
        carry_out(place, work)
    except (KeyboardInterrupt, click.Abort):
        click.echo(f"\nbroken off. {under_way[0].hint if under_way else 'Nothing was changed'}", err=True)
        raise click.Abort from None


async def _seen(cluster: Cluster, target: Target) -> Account:
    try:
        return Account.of(await cluster.get(target.namespace, target.name))
    except ClusterError as error:
        like = await suggested(cluster, target) if error.status == NOT_FOUND else ""
        raise ClusterError(error.status, f"{error}{like}") from None


async def _abandoned(errand: Errand, target: Target) -> int:
    asked = errand.asked
    if not asked:
        click.echo(f"no reset of {target} is under way; nothing was changed")
        return 0
    followed = await errand.abandon()
    if followed:
        click.echo(f"reset {asked} of {target} is forgotten: nothing more of its plan is begun")
    if errand.seen.paused:
        click.echo(f"the bot stays paused; let it trade again: accountsync resume {target.name} -n {target.namespace}")
    if followed:
        return 0
    why = f"but the operator has not said in {errand.wait:g} s that it knows: is it running?"
    return _failed(f"reset {asked} of {target} is forgotten, {why} Until it does, it may begin an approved plan", "")


def _failed(why: str, hint: str) -> int:
    click.echo(f"FAILED: {why}", err=True)
    if hint:
        click.echo(hint, err=True)
    return 1
