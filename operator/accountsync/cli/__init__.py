"""The command line: one module per verb, each imported only when it is used."""

import importlib
from typing import ClassVar

import click

from accountsync import __version__


class Verbs(click.Group):
    """A group whose commands are modules of this package, so that a verb pays only for itself."""

    verbs: ClassVar[dict[str, str]] = {
        "approve": "Let a plan be carried out.",
        "crds": "Print the CustomResourceDefinitions.",
        "docs": "Write or check the generated pages.",
        "drill": "Put known faults before the real cycle and the real metrics.",
        "evidence": "Check bundles of evidence, and judge again what they hold.",
        "gate": "Say beside a bot whether it may trade, until told to stop.",
        "ledger": "Print or apply the schema of a ledger in PostgreSQL, and check a database.",
        "operator": "Watch TradingAccounts and judge them until told to stop.",
        "pause": "Stop bots: the kill switch.",
        "plans": "Show what would be done about findings, and what became of it.",
        "reconcile": "Have the exchange and the bot compared now.",
        "reset": "Cancel and close everything of a bot's, and have it begin anew.",
        "resume": "Let bots trade again.",
        "simulate": "Run a simulated Binance USD-M futures exchange until interrupted.",
        "status": "Show whether a bot is stopped, by what, what differs, and how to resume.",
    }
    """Each is the module of its name; the text, the beginning of its own help, is for the list, which imports none."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """All verbs."""
        return sorted(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The verb's command, imported now."""
        if cmd_name not in self.verbs:
            return None
        module = importlib.import_module(f"accountsync.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of verbs."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(self.verbs.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Notice when a trading bot's belief and its exchange account part, and stop the bot."""


def plugin() -> None:
    """The same as `kubectl accountsync`, which kubectl finds by the name of the script."""
    main(prog_name="kubectl accountsync")
