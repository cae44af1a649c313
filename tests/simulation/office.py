"""All that acting on one account takes: stored plans, a till, a desk in the process that lives, and people."""

import asyncio
import random
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.simulation.auditor import Auditor, Request
from tests.simulation.exchange import ZERO, Leg
from tests.simulation.faults import STALE_ANSWER_MS
from tests.simulation.observer import ABOUT, Observer
from tests.simulation.process import Held, Process
from tests.simulation.repairing import RepairPort
from tests.simulation.shelf import Shelf, ShelfPort
from tests.simulation.till import Till, TillPort
from tests.support.fakes import START_MS

from accountsync.act import Desk, concerned
from accountsync.domain.account import Order, PositionSide, Side
from accountsync.domain.course import UNDER_WAY
from accountsync.domain.plan import ActionKind, Plan
from accountsync.domain.policy import Mode
from accountsync.errors import ExchangeUnobserved, Reason
from accountsync.ports import Stamp, Trading

if TYPE_CHECKING:
    from tests.simulation.world import World

UID = ABOUT["metadata"]["uid"]


class _Asking:
    """The exchange, asked from the action path of a process: its word is old at times, within what it promises."""

    def __init__(self, office: "Office", process: Process) -> None:
        self._office, self._port, self._process = office, office.world.port, process

    async def find_order(
        self, *, symbol: str, order_id: str = "", client_id: str = "", conditional: bool | None = None
    ) -> Order | None:
        await self._process.point("exchange.find_order")
        office, names = self._office, (symbol, order_id, client_id)
        found = await self._port.find_order(
            symbol=symbol, order_id=order_id, client_id=client_id, conditional=conditional
        )
        chance = office.dice.random()
        if chance < office.till.trouble / 2:
            office.served["no answer about what was sent"] += 1
            raise ExchangeUnobserved(Reason.EXCHANGE_UNAVAILABLE, "not now")
        if chance < office.till.trouble * 2:
            office.served["old answer about what was sent"] += 1
            now = START_MS + int(asyncio.get_running_loop().time() * 1000)
            found = office.world.account.find(*names, conditional=conditional, at=now - STALE_ANSWER_MS)
        await self._process.point("exchange.find_order, answered")
        return found

    def __getattr__(self, name: str) -> object:
        return getattr(self._port, name)


class Office:
    """`shelf`, `till` and `auditor` outlive every process."""

    def __init__(self, world: "World", observer: Observer, dice: random.Random) -> None:
        self.world, self.observer, self.dice, self.nature = world, observer, dice, world.nature
        self.served = served = world.mishaps
        self.shelf = Shelf(random.Random(dice.random()), served, say=world.say)
        self.till = Till(world.account, world.trader, world.timeline, random.Random(dice.random()), served)
        self.auditor = Auditor(world.account, self.shelf, self.till, world.nature)
        self.till.other = world.nature.other_key
        self.calm_mode = observer.policy.mode
        self.shelf.made = self._made
        self.repairs_trouble = 0.0
        self._asked: set[str] = set()

    def open(self, process: Process) -> None:
        """Give the observer a desk in `process`."""
        if not self.nature.acts:
            return
        observer, nature = self.observer, self.nature
        observer.auditor = self.auditor
        observer.survives = self.world.survives
        observer.accepts_unknown = self._accept_unknown

        def sent(what: Request, stamp: Stamp) -> None:
            self.auditor.sent(process, what, stamp, observer.standing)

        async def trading() -> Trading:
            await process.point("trading opened")
            if self.dice.random() < self.till.trouble / 4:
                raise ExchangeUnobserved(Reason.EXCHANGE_UNAVAILABLE, "not now")
            return TillPort(self.till, process, sent)

        observer.desk = Desk(
            account="alpha",
            uid=f"{UID}-{observer.number}",
            plans=ShelfPort(self.shelf, process),
            exchange=_Asking(self, process),  # type: ignore[arg-type]
            owner=Held(process),
            clock=self.world.clock,
            trading=trading,
            repairs=RepairPort(self, observer.bot, process) if nature.writable else None,
            guarded="nothing protects approvals" if nature.unguarded else "",
            expires_requests=nature.expires_requests,
        )

    @property
    def under_way(self) -> list[str]:
        """Plans of which something is yet to be known, or to be verified, or that are to end.

        What a bot was told holds nothing: where the mode lets nobody do more of that, its plan waits as it is.
        """
        now, observer = self.world.clock.now_ms(), self.observer
        looked_after = concerned(observer.policy, observer.state.holds.keys(), writable=self.nature.writable)
        return [
            f"{plan.name} {plan.phase}"
            for plan in self.shelf.plans.values()
            if plan.open
            and (plan.trades or looked_after)
            and (plan.unsettled or plan.phase in UNDER_WAY or (now > plan.expires and looked_after))
        ]

    @property
    def unknown(self) -> list[str]:
        """Of those `under_way`, what can come to an end: with the key of another account nothing closes a position."""
        never = {plan.name for plan in self.shelf.plans.values() if self.till.other and not plan.started}
        return [told for told in self.under_way if told.partition(" ")[0] not in never]

    @property
    def reckoned(self) -> Counter[str]:
        """What was done."""
        bot = self.observer.bot
        ended = Counter(f"plans {plan.phase}" for plan in self.shelf.plans.values())
        return (
            self.auditor.counted + ended + Counter({f"repaired {kind}": count for kind, count in bot.repaired.items()})
        )

    def own_up(self, number: int) -> None:
        """Bot `number` learns what of its position was closed here."""
        account = self.world.account
        for leg in self.till.closed:
            held = account.positions[leg].quantity
            known = sum((share.get(leg, ZERO) for share in account.shares), ZERO)
            account.shares[number][leg] = account.shares[number].get(leg, ZERO) + held - known
        self.till.closed.clear()

    # --- people and faults --------------------------------------------------------------------------------------------

    def mischance(self) -> None:
        """Requests are lost and delayed, writes fail."""
        self.till.trouble = self.repairs_trouble = self.nature.mischance
        self.shelf.trouble = self.nature.mischance / 8

    def calm(self) -> None:
        """No more faults; the mode is what it was to be, and the bot goes on."""
        self.till.trouble = self.shelf.trouble = self.repairs_trouble = 0.0
        self._turn_mode(self.calm_mode)
        self.observer.paused = False

    def people(self) -> None:
        """Approve some of what waits, at some time; stop the bot at times; change the mode."""
        if not self.nature.acts:
            return
        for plan in list(self.shelf.plans.values()):
            if plan.approval and not plan.approved and plan.name not in self._asked:
                self._asked.add(plan.name)
                if self.dice.random() < self.nature.approves:
                    wait = (plan.expires - plan.created) / 1000 * self.dice.uniform(0, 1.2) ** 2
                    self.world.timeline.later(wait, lambda plan=plan: self._approve(plan))  # type: ignore[misc]
        if not (self.world.stormy or self.till.trouble):
            return
        if self.dice.random() < 0.03:
            self.observer.paused = not self.observer.paused
        if self.nature.fickle and self.dice.random() < 0.06:
            self._turn_mode(self.dice.choice(list(Mode)))

    def _approve(self, plan: Plan) -> None:
        if plan.name in self.shelf.plans:
            self.shelf.approve(plan.name)

    def _made(self, plan: Plan) -> None:
        self.observer.stored(plan.name)
        self._think_over(plan)

    def _think_over(self, plan: Plan) -> None:
        """What a plan is for changes at times while it waits: an order of the bot's that it forgot is filled."""
        legs = [(row.symbol, row.leg) for row in plan.actions if row.kind is ActionKind.FLATTEN and row.leg is not None]
        if legs and self.nature.bots == 1 and self.till.trouble and self.dice.random() < 0.5:
            self.world.timeline.catch_up(asyncio.get_running_loop().time())
            self.world.timeline.later(self.dice.uniform(0.1, 4), lambda: self._shrink(legs[0]))

    def _shrink(self, leg: Leg) -> None:
        account, bot = self.world.account, self.observer.bot
        held = account.positions[leg].quantity
        part = abs(held) // 2
        if not part or account.shares[bot.number].get(leg, ZERO) != held:
            return
        side = Side.SELL if held > 0 and leg[1] is not PositionSide.SHORT else Side.BUY
        with self.world.trader.now():
            name = f"{self.observer.policy.order_id_prefix}part{len(account.versions)}"
            order = account.place(leg[0], side=side, quantity=part, client_id=name, leg=leg[1], owner=bot.number)
            change = account.fill(order, part).change
            offset = bot.drift.offsets.get(leg, ZERO) - change
            bot.drift = replace(bot.drift, offsets={**bot.drift.offsets, leg: offset})

    def _accept_unknown(self) -> None:
        self.shelf.unknown_is_accepted = True

    def _turn_mode(self, mode: Mode) -> None:
        observer = self.observer
        if observer.policy.mode is not mode:
            self.world.say(f"observer {observer.number}: mode {mode}")
            observer.turn_mode(mode)
