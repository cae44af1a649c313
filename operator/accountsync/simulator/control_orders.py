"""The control interface's part for orders that change: amendments, replacements and conditional orders.

Its paths and bodies stand with all others in `control.py`.
"""

from typing import Any

import orjson
from aiohttp import web

from accountsync.simulator.algo import AlgoOrder
from accountsync.simulator.model import Account, Order
from accountsync.simulator.specs import AlgoOrderSpec, Amount, Spec
from accountsync.simulator.views_algo import queried_algo
from accountsync.simulator.views_order import queried_order
from accountsync.simulator.world import World, WorldError


class AmendSpec(Spec):
    """What is not given stays as it is."""

    price: Amount | None = None
    quantity: Amount | None = None


class ReplaceSpec(AmendSpec):
    """As `AmendSpec`; without a client id the new order takes over the old one's."""

    client_order_id: str | None = None


def order_routes(world: World) -> list[web.RouteDef]:
    """The routes; each handler translates, the world acts."""
    control = OrderControl(world)
    account = "/control/accounts/{name}"
    order = account + "/orders/{symbol}/{order_id:\\d+}"
    return [
        web.post(order + "/amend", control.amend),
        web.post(order + "/replace", control.replace),
        web.post(account + "/algo-orders", control.place_algo),
        web.post(account + "/algo-orders/{algo_id:\\d+}/{action:cancel|expire|reject|trigger}", control.end_algo),
    ]


class OrderControl:
    """The handlers."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def amend(self, request: web.Request) -> web.Response:
        """The answer is the order as it is afterwards."""
        spec = AmendSpec.model_validate_json(await request.read())
        return self._order_answer(self._world.amend(self._order(request), **spec.model_dump()))

    async def replace(self, request: web.Request) -> web.Response:
        """The answer is the new order."""
        spec = ReplaceSpec.model_validate_json(await request.read() or b"{}")
        return self._order_answer(self._world.replace(self._order(request), **spec.model_dump()))

    async def place_algo(self, request: web.Request) -> web.Response:
        """As if by hand on the exchange's site."""
        spec = AlgoOrderSpec.model_validate_json(await request.read())
        return self._algo_answer(spec.place(self._world, self._account(request)))

    async def end_algo(self, request: web.Request) -> web.Response:
        """Cancel, expire, reject or trigger; `actualOrderId` in the answer names the order that was made."""
        number = int(request.match_info["algo_id"])
        algo = self._world.algos.find(self._account(request), algo_id=number)
        if algo is None:
            raise WorldError(f"algo order {number} does not exist")
        action = getattr(self._world.algos, request.match_info["action"])
        return self._algo_answer(action(algo))

    def _account(self, request: web.Request) -> Account:
        return self._world.account(request.match_info["name"])

    def _order(self, request: web.Request) -> Order:
        symbol, number = request.match_info["symbol"], int(request.match_info["order_id"])
        found = self._account(request).orders.get((symbol, number))
        if found is None:
            raise WorldError(f"order {number} of {symbol} does not exist")
        return found

    def _order_answer(self, order: Order) -> web.Response:
        return _json(queried_order(order, self._world.spec(order.symbol)))

    def _algo_answer(self, algo: AlgoOrder) -> web.Response:
        return _json(queried_algo(algo, self._world.spec(algo.symbol)))


def _json(payload: dict[str, Any]) -> web.Response:
    return web.Response(body=orjson.dumps(payload), content_type="application/json")
