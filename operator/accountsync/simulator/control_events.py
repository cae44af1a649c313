"""What the exchange itself does to accounts, over the control interface: paths and bodies stand in `control.py`."""

from typing import Literal

import orjson
from aiohttp import web
from pydantic import Field

from accountsync.simulator.model import Account, Order
from accountsync.simulator.specs import Amount, Spec
from accountsync.simulator.views_history import forced_order, income_row
from accountsync.simulator.world import World


class FundingSpec(Spec):
    """`rate` of each position's value: longs pay shorts if it is positive."""

    symbol: str
    rate: Amount


class LiquidationSpec(Spec):
    """Which position; closed at the mark unless a price is given."""

    symbol: str
    position_side: Literal["BOTH", "LONG", "SHORT"] = "BOTH"
    price: Amount | None = Field(default=None, gt=0)


class DeleveragingSpec(LiquidationSpec):
    """And how much of it."""

    quantity: Amount


class Events:
    """The handlers."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[web.RouteDef]:
        """To be added to the control application."""
        return [
            web.post("/control/funding", self.pay_funding),
            web.post("/control/accounts/{name}/liquidate", self.liquidate),
            web.post("/control/accounts/{name}/deleverage", self.deleverage),
        ]

    async def pay_funding(self, request: web.Request) -> web.Response:
        """All accounts at once."""
        spec = FundingSpec.model_validate_json(await request.read())
        paid = self._world.pay_funding(spec.symbol, spec.rate)
        return _json([{"account": account.name, **income_row(row)} for account, row in paid])

    async def liquidate(self, request: web.Request) -> web.Response:
        """Whatever the margin."""
        spec = LiquidationSpec.model_validate_json(await request.read())
        order = self._world.liquidate(self._account(request), spec.symbol, spec.position_side, price=spec.price)
        return self._order(order)

    async def deleverage(self, request: web.Request) -> web.Response:
        """Whole or in part."""
        spec = DeleveragingSpec.model_validate_json(await request.read())
        order = self._world.deleverage(
            self._account(request), spec.symbol, spec.position_side, spec.quantity, price=spec.price
        )
        return self._order(order)

    def _account(self, request: web.Request) -> Account:
        return self._world.account(request.match_info["name"])

    def _order(self, order: Order) -> web.Response:
        return _json(forced_order(order, self._world.spec(order.symbol)))


def _json(payload: object) -> web.Response:
    return web.Response(body=orjson.dumps(payload), content_type="application/json")
