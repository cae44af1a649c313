"""Acting on many accounts: side by side, past failures, a line for each as it is done, and an exit code that tells."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from accountsync.cli.account import Account
from accountsync.cli.cluster import Cluster
from accountsync.cli.connection import AT_ONCE, ClusterError, Place
from accountsync.cli.selection import Target, suggested
from accountsync.cli.texts import count

WAIT = 60.0
GLANCE = 5.0
"""Seconds that a verb without --wait gives the operator to follow."""
LOOK_EVERY = 0.5
LOOKS_A_SECOND = 40
NOT_FOUND, FORBIDDEN = 404, 403


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one account, for people."""

    target: Target
    text: str
    failed: bool = False
    after: Account | None = None
    """The object as the act left it."""


Act = Callable[[Target], Awaitable[Outcome]]


async def for_each(cluster: Cluster, targets: Sequence[Target], act: Act, at_once: int = AT_ONCE) -> list[Outcome]:
    """Act on all, past failures, and say of each what became of it."""
    width = max(len(str(target)) for target in targets)
    slots = asyncio.Semaphore(at_once)

    async def one(target: Target) -> Outcome:
        async with slots:
            try:
                outcome = await act(target)
            except ClusterError as error:
                like = await suggested(cluster, target) if error.status == NOT_FOUND else ""
                outcome = Outcome(target, f"FAILED: {error}{like}", failed=True)
            except click.Abort:
                raise
            except Exception as error:  # noqa: BLE001 - one account's oddity must not keep the others from being stopped
                outcome = Outcome(target, f"FAILED: unexpected {type(error).__name__}: {error}", failed=True)
        _say(f"{target!s:<{width}}  {outcome.text}")
        return outcome

    return list(await asyncio.gather(*(one(target) for target in targets)))


def _say(line: str, *, err: bool = False) -> None:
    """Print, if anybody still listens: a closed pipe or a terminal without the letters ends nothing."""
    with contextlib.suppress(OSError, UnicodeError):
        click.echo(line, err=err)


def concluded(outcomes: Sequence[Outcome], done: str) -> int:
    """Say in the end how many were `done` and which were not; the exit code."""
    failed = [str(outcome.target) for outcome in outcomes if outcome.failed]
    if failed:
        names = ", ".join(failed)
        _say(f"FAILED: {len(failed)} of {count(len(outcomes), 'account')}: {names}", err=True)
    elif len(outcomes) > 1:
        _say(f"{count(len(outcomes), 'account')} {done}", err=True)
    return 1 if failed else 0


async def settled(
    cluster: Cluster, target: Target, fits: Callable[[Account], bool], seconds: float, crowd: int = 1
) -> Account | None:
    """The account once it fits; None: it did not in time. `crowd`: how many are looked at side by side.

    Raises ClusterError where looking is refused or there is nothing to look at.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            account = Account.of(await cluster.get(target.namespace, target.name))
        except ClusterError as error:
            if error.status in {FORBIDDEN, NOT_FOUND}:
                raise
        else:
            if fits(account):
                return account
        if time.monotonic() >= deadline:
            return None
        await asyncio.sleep(max(LOOK_EVERY, crowd / LOOKS_A_SECOND))


def carry_out(place: Place, work: Callable[[Cluster], Awaitable[int]]) -> None:
    """Do `work` with the cluster, and end with its exit code, or with a sentence where there is no cluster."""

    async def whole() -> int:
        async with Cluster(place) as cluster:
            return await work(cluster)

    try:
        code = asyncio.run(whole())
    except ClusterError as error:
        raise click.ClickException(str(error)) from None
    if code:
        sys.exit(code)


def confirmed(question: str) -> bool:
    """Ask. Ctrl-C ends it at once: asyncio would only note it, and wait for the answer."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return click.confirm(question)
    finally:
        signal.signal(signal.SIGINT, handler)


class Waits(click.Command):
    """A command whose --wait may stand without a number, also right before a NAME."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give a bare --wait its number."""
        spelt = []
        for at, word in enumerate(args):
            bare = word == "--wait" and not _is_number(args[at + 1] if at + 1 < len(args) else "")
            spelt.append(f"--wait={WAIT:g}" if bare else word)
        return super().parse_args(ctx, spelt)


def waiting(until: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add --wait [SECONDS]; it comes as None or the seconds."""
    return click.option(
        "--wait",
        type=click.FloatRange(0, 86_400),
        metavar="[SECONDS]",
        help=f"Wait until {until}, at most this long ({WAIT:g}).",
    )


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
