"""What a demo is told with: numbered turns, commands that a person would type, and waiting for what should follow."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.controlplane import ControlPlane
from tests.support.running import Operator, Simulator, accountsync, until

NAMESPACE, NAME = "trading", "grid-btc"
Body = dict[str, Any]


class TurnFailed(Exception):  # noqa: N818 - what happened, in the words of the story
    """What this turn of the story should show did not come true."""


class Story:
    """An account on real parts. `patience`: seconds that each turn may take."""

    def __init__(self, plane: ControlPlane, simulator: Simulator, operator: Operator, belief: Path) -> None:
        self.plane = plane
        self.simulator = simulator
        self.operator = operator
        self.belief = belief
        self.patience = 45.0

    def turn(self, title: str) -> None:
        print(f"\n\033[1m── {title}\033[0m" if sys.stdout.isatty() else f"\n── {title}", flush=True)

    def account(self) -> Body:
        body: Body = json.loads(self.plane.kubectl("get", "ta", NAME, "-n", NAMESPACE, "-o", "json"))
        return body

    def table(self) -> None:
        self.show("get", "tradingaccounts", "-n", NAMESPACE)

    def show(self, *arguments: str, input: str | None = None) -> None:  # noqa: A002 - kubectl's own word
        """Print a kubectl command and what it answers. `input`: what stands for the file that it names last."""
        told = f"$ kubectl {' '.join(arguments)}"
        command = arguments if input is None else (*arguments[:-1], "-")
        print(f"{told}\n{self.plane.kubectl(*command, input=input).rstrip()}", flush=True)

    def say(self, *arguments: str) -> None:
        """Print one of our own commands and what it answers. Raises TurnFailed where it fails."""
        print(f"$ accountsync {' '.join(arguments)}", flush=True)
        ran = subprocess.run(
            accountsync(*arguments), env=self.plane.env(), capture_output=True, text=True, timeout=60, check=False
        )
        print((ran.stdout + ran.stderr).rstrip(), flush=True)
        if ran.returncode:
            raise TurnFailed(f"accountsync {arguments[0]} ended with {ran.returncode}")

    def await_(self, what: str, found: Callable[[], Body | None], last_words: Callable[[], None]) -> Body:
        """Wait until there is something; `last_words` shows what is there instead."""

        def alive() -> Body | None:
            self.plane.check_alive()
            for program in (self.simulator, self.operator):
                if program.process.poll() is not None:
                    raise TurnFailed(f"a program ended:\n{program.output[-2000:]}")
            return found()

        try:
            return until(alive, what, self.patience)
        except TimeoutError as error:
            last_words()
            raise TurnFailed(str(error)) from None

    def read_back(self, what: str, holds: Callable[[Body], object]) -> Body:
        """Wait until the account on the API server is as told."""

        def fits() -> Body | None:
            status: Body = self.account().get("status", {})
            return status if holds(status) else None

        return self.await_(what, fits, lambda: self.show("get", "ta", NAME, "-n", NAMESPACE, "-o", "yaml"))

    def plan(self, what: str, holds: Callable[[Body], object]) -> Body:
        """Wait until there is a plan on the API server as told."""

        def fits() -> Body | None:
            plans: list[Body] = json.loads(self.plane.kubectl("get", "rp", "-n", NAMESPACE, "-o", "json"))["items"]
            return next((plan for plan in plans if holds({"status": {}, **plan})), None)

        return self.await_(what, fits, lambda: self.show("get", "rp,ta", "-n", NAMESPACE, "-o", "yaml"))

    def believe(self, belief: Mapping[str, Any]) -> None:
        fresh = self.belief.with_suffix(".new")
        fresh.write_text(json.dumps(belief))
        fresh.replace(self.belief)
