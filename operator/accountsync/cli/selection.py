"""Which accounts a verb is for: the options that say it, and what the cluster has of them."""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import click

from accountsync.cli.account import Account
from accountsync.cli.cluster import Cluster
from accountsync.cli.connection import ClusterError, Place

NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
NEAR, LIKENESS, FEW = 3, 0.5, 8
NOT_FOUND = 404


class NothingSelectedError(ClusterError):
    """No account is what was asked for."""

    def __init__(self, sentence: str) -> None:
        super().__init__(NOT_FOUND, sentence)


@dataclass(frozen=True, slots=True)
class Target:
    """An account to act on. `seen`: as the list showed it; None: it was named, and nobody has looked yet."""

    namespace: str
    name: str
    seen: Account | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Selection:
    """What the options say. An empty namespace is the context's own."""

    names: tuple[str, ...]
    namespace: str
    everywhere: bool
    everything: bool
    selector: str

    def __post_init__(self) -> None:
        ways = bool(self.names) + self.everything + bool(self.selector)
        if not ways:
            raise click.UsageError("for which accounts? Give a NAME, or --all, or -l SELECTOR")
        if ways > 1:
            raise click.UsageError("give one of these: a NAME, --all, or -l SELECTOR")
        if self.everywhere and (self.names or self.namespace):
            raise click.UsageError("-A is for all namespaces: not with -n, and with --all or -l instead of a NAME")
        for text in (*self.names, *filter(None, [self.namespace])):
            if not NAME.fullmatch(text):
                raise click.UsageError(f"{text!r} can't be a name: expected lower-case letters, digits, '-' and '.'")

    @property
    def of_names(self) -> bool:
        """Whether the accounts were named one by one."""
        return bool(self.names)

    async def targets(self, cluster: Cluster) -> list[Target]:
        """The accounts. Raises ClusterError, also where there is none."""
        namespace = "" if self.everywhere else self.namespace or cluster.namespace
        if self.names:
            return [Target(namespace, name) for name in dict.fromkeys(self.names)]
        try:
            found = [Account.of(body) for body in await cluster.list(namespace, self.selector)]
        except ClusterError as error:
            if error.status == 400:  # noqa: PLR2004
                raise ClusterError(error.status, f"-l {self.selector}: {error}") from None
            raise
        if not found:
            where = f"in namespace {namespace}" if namespace else "in any namespace"
            like = f" with labels {self.selector}" if self.selector else ""
            elsewhere = "; give another with -n, or -A for all" if namespace else ""
            raise NothingSelectedError(f"there is no TradingAccount{like} {where}, so nothing was done{elsewhere}")
        return [Target(each.namespace, each.name, each) for each in found]


async def suggested(cluster: Cluster, target: Target) -> str:
    """Names like the one that isn't there, as the end of a sentence; empty where nothing is known."""
    try:
        names = sorted(body["metadata"]["name"] for body in await cluster.list(target.namespace))
    except ClusterError:
        return ""
    near = difflib.get_close_matches(target.name, names, NEAR, LIKENESS)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    if not names:
        return "; there is none in this namespace: give another with -n"
    return f"; there are {', '.join(names[:FEW])}{' and others' if len(names) > FEW else ''}"


def placing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where the cluster is: they come to the command as `place`."""

    @click.option("--kubeconfig", default="", help="The file to use.  [default: as kubectl]")
    @click.option("--context", default="", help="The kubeconfig's context to use.  [default: as kubectl]")
    @wraps(command)
    def placed(*, kubeconfig: str, context: str, **options: Any) -> None:
        command(place=Place(kubeconfig, context), **options)

    return placed


def selecting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which accounts and where: they come as `selection` and `place`."""

    @click.argument("names", metavar="[NAME]...", nargs=-1)
    @click.option("-n", "--namespace", default="", help="Their namespace.  [default: the kubeconfig context's]")
    @click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="All namespaces, with --all or -l.")
    @click.option("--all", "everything", is_flag=True, help="All accounts of the namespace.")
    @click.option("-l", "--selector", default="", help="Accounts with these labels, as kubectl takes them.")
    @wraps(command)
    def selected(
        *, names: tuple[str, ...], namespace: str, everywhere: bool, everything: bool, selector: str, **options: Any
    ) -> None:
        command(selection=Selection(names, namespace, everywhere, everything, selector), **options)

    return placing(selected)
