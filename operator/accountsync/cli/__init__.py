"""The command line: one module per verb, each imported only when it is used."""

import importlib
from typing import ClassVar

import click

from accountsync import __version__


class Verbs(click.Group):
    """A group whose commands are modules of this package, so that a verb pays only for itself."""

    verbs: ClassVar[dict[str, str]] = {
        "crds": "crds",
        "docs": "docs",
        "evidence": "evidence",
        "drill": "drill",
        "operator": "operator",
        "simulate": "simulate",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """All verbs."""
        return sorted(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The verb's command, imported now."""
        if cmd_name not in self.verbs:
            return None
        module = importlib.import_module(f"accountsync.cli.{self.verbs[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Notice when a trading bot's belief and its exchange account part, and stop the bot."""
