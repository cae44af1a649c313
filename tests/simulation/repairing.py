"""The write side of a bot's state: it takes a repair once, and none of a belief that is another one by now."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.simulation.bot import Bot, Outdated
from tests.simulation.process import Process

from accountsync.domain.expected import ExpectedState
from accountsync.domain.plan import Repair
from accountsync.errors import NotSent, OutcomeUnknown, Refused

if TYPE_CHECKING:
    from tests.simulation.office import Office


class RepairPort:
    """The `Repairs` port of a process."""

    adopts = False

    def __init__(self, office: "Office", bot: Bot, process: Process) -> None:
        self.office, self.bot, self.process, self.dice, self.served = office, bot, process, office.dice, office.served

    async def repair(self, repair_id: str, belief: ExpectedState, repairs: Sequence[Repair]) -> None:
        await self.process.point("repair")
        trouble = self.office.repairs_trouble / 2
        if self.dice.random() < trouble:
            self.served["repair not sent"] += 1
            raise NotSent("no connection")
        if self.dice.random() < trouble / 2:
            self.served["repair lost"] += 1
            raise OutcomeUnknown("no answer")
        self.bot.timeline.catch_up(asyncio.get_running_loop().time())
        try:
            self.bot.take(repair_id, belief, repairs)
        except Outdated as why:
            self.served["repair refused"] += 1
            raise Refused(str(why)) from None
        await self.process.point("repair, taken")
        if self.dice.random() < trouble:
            self.served["repair taken, and the answer lost"] += 1
            raise OutcomeUnknown("no answer")
