"""The control interface: the world's hand over HTTP, on a port of its own. Bodies and answers are JSON.

    GET    /control/health
    GET    /control/accounts                                   names
    POST   /control/accounts                                   an AccountSpec, or a list of them
    GET    /control/accounts/{name}                            the account as the exchange would show it
    POST   /control/accounts/{name}/keys                       a KeySpec; the answer holds the secret
    DELETE /control/keys/{key}                                 a key or its fingerprint
    POST   /control/accounts/{name}/orders                     an OrderSpec
    POST   /control/accounts/{name}/orders/{symbol}/{id}/fill  {"quantity"?, "price"?, "maker"?}
    POST   /control/accounts/{name}/orders/{symbol}/{id}/{cancel|expire|reject}
    POST   /control/accounts/{name}/orders/{symbol}/{id}/amend    {"price"?, "quantity"?}: the id stays
    POST   /control/accounts/{name}/orders/{symbol}/{id}/replace  {"price"?, "quantity"?, "client_order_id"?}: a new id
    POST   /control/accounts/{name}/algo-orders                   an AlgoOrderSpec
    POST   /control/accounts/{name}/algo-orders/{algo_id}/{cancel|expire|reject|trigger}
    POST   /control/accounts/{name}/wallet                     {"asset", "amount"}: negative withdraws
    POST   /control/accounts/{name}/positions                  a PositionSpec
    PUT    /control/marks                                      {symbol: price, …}; may trigger and liquidate
    GET    /control/books, PUT /control/books                  {symbol: a DepthSpec, …}: what others offer at each level
    POST   /control/funding                                    {"symbol", "rate"}: longs pay a positive rate
    POST   /control/accounts/{name}/liquidate                  {"symbol", "position_side"?, "price"?}
    POST   /control/accounts/{name}/deleverage                 {"symbol", "quantity", "position_side"?, "price"?}
    POST   /control/clock                                      {"advance_ms"}
    GET    /control/limits, PUT /control/limits                {"weight_per_minute"?, …, "forgive"?}
    GET    /control/faults, POST /control/faults               a FaultSpec; the answer holds its id
    DELETE /control/faults, DELETE /control/faults/{id}
    GET    /control/requests?account=&path=&method=&write=&effect=&client_id=&after=
    GET    /control/requests/counts

An action that cannot be done is answered 409, a body that cannot be read 422, with {"error": …}.
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import orjson
from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from accountsync.simulator.control_events import Events
from accountsync.simulator.control_market import Market
from accountsync.simulator.control_orders import order_routes
from accountsync.simulator.faults import FaultBook
from accountsync.simulator.journal import Journal
from accountsync.simulator.limits import RateLimiter
from accountsync.simulator.model import Account, ApiKey, Order
from accountsync.simulator.specs import AccountSpec, Amount, FaultSpec, KeySpec, OrderSpec, PositionSpec, Spec
from accountsync.simulator.views_account import account_v2, position_risk_v3
from accountsync.simulator.views_algo import listed_algo
from accountsync.simulator.views_order import queried_order
from accountsync.simulator.world import World, WorldError

CONFLICT, UNREADABLE = 409, 422
TRUE = {"true": True, "false": False}


class FillSpec(Spec):
    """All that remains at the order's price, unless told otherwise."""

    quantity: Amount | None = None
    price: Amount | None = None
    maker: bool = True


class WalletSpec(Spec):
    """A deposit, or a withdrawal if negative."""

    asset: str
    amount: Amount


class LimitsSpec(Spec):
    """New limits; `forgive` also forgets all use and bans."""

    weight_per_minute: int | None = None
    wallet_weight_per_minute: int | None = None
    orders_per_10s: int | None = None
    orders_per_minute: int | None = None
    refusals_before_ban: int | None = None
    forgive: bool = False


ACCOUNTS: TypeAdapter[AccountSpec | list[AccountSpec]] = TypeAdapter(AccountSpec | list[AccountSpec])


def control_app(world: World, faults: FaultBook, limiter: RateLimiter, journal: Journal) -> web.Application:
    """The application; each handler translates, the world acts."""
    app = web.Application(middlewares=[_errors_as_json, _up_to_now(world)])
    control = Control(world, faults, limiter, journal)
    account = "/control/accounts/{name}"
    order = account + "/orders/{symbol}/{order_id:\\d+}"
    app.add_routes(
        [
            web.get("/control/health", control.health),
            web.get("/control/accounts", control.list_accounts),
            web.post("/control/accounts", control.create_accounts),
            web.get(account, control.show_account),
            web.post(account + "/keys", control.create_key),
            web.delete("/control/keys/{key}", control.revoke_key),
            web.post(account + "/orders", control.place_order),
            web.post(order + "/fill", control.fill),
            web.post(order + "/{action:cancel|expire|reject}", control.close_order),
            web.post(account + "/wallet", control.change_wallet),
            web.post(account + "/positions", control.set_position),
            web.get("/control/limits", control.show_limits),
            web.put("/control/limits", control.change_limits),
            web.get("/control/faults", control.list_faults),
            web.post("/control/faults", control.add_fault),
            web.delete("/control/faults", control.clear_faults),
            web.delete("/control/faults/{id:\\d+}", control.clear_faults),
            web.get("/control/requests", control.list_requests),
            web.get("/control/requests/counts", control.count_requests),
            *Market(world).routes(),
            *Events(world).routes(),
            *order_routes(world),
        ]
    )
    return app


class Control:
    """The handlers."""

    def __init__(self, world: World, faults: FaultBook, limiter: RateLimiter, journal: Journal) -> None:
        self._world = world
        self._faults = faults
        self._limiter = limiter
        self._journal = journal

    async def health(self, _request: web.Request) -> web.Response:
        """Alive, and what time it is on the exchange."""
        return _json({"status": "ok", "time": self._world.now_ms(), "requests": self._journal.total})

    async def list_accounts(self, _request: web.Request) -> web.Response:
        """Names in order of creation."""
        return _json(list(self._world.accounts))

    async def create_accounts(self, request: web.Request) -> web.Response:
        """One or many; the answer holds each one's keys with their secrets."""
        given = ACCOUNTS.validate_json(await request.read())
        specs = given if isinstance(given, list) else [given]
        made = [spec.create(self._world) for spec in specs]
        rows = [{"name": account.name, "keys": [_key(key) for key in keys]} for account, keys in made]
        return _json(rows if isinstance(given, list) else rows[0])

    async def show_account(self, request: web.Request) -> web.Response:
        """Account, positions, open orders and open algo orders in Binance's words."""
        account = self._account(request)
        margin = self._world.margin(account)
        return _json(
            {
                "account": account_v2(margin),
                "positions": [position_risk_v3(row, margin) for row in margin.positions if row.shown],
                "openOrders": [self._order_view(order) for order in account.open_orders.values()],
                "openAlgoOrders": [
                    listed_algo(algo, self._world.spec(algo.symbol)) for algo in self._world.algos.open_of(account)
                ],
            }
        )

    async def create_key(self, request: web.Request) -> web.Response:
        """The answer is the only place where the secret is told."""
        spec = KeySpec.model_validate_json(await request.read())
        return _json(_key(spec.create(self._world, self._account(request))))

    async def revoke_key(self, request: web.Request) -> web.Response:
        """By the key itself or its fingerprint."""
        return _json({"revoked": self._world.revoke_key(request.match_info["key"]).fingerprint})

    async def place_order(self, request: web.Request) -> web.Response:
        """As if by hand on the exchange's site."""
        spec = OrderSpec.model_validate_json(await request.read())
        return _json(self._order_view(spec.place(self._world, self._account(request))))

    async def fill(self, request: web.Request) -> web.Response:
        """Whole or in part."""
        spec = FillSpec.model_validate_json(await request.read() or b"{}")
        filled = self._world.fill(self._order(request), quantity=spec.quantity, price=spec.price, maker=spec.maker)
        return _json(self._order_view(filled))

    async def close_order(self, request: web.Request) -> web.Response:
        """Cancel, expire or reject."""
        action = getattr(self._world, request.match_info["action"])
        return _json(self._order_view(action(self._order(request))))

    async def change_wallet(self, request: web.Request) -> web.Response:
        """The answer tells the new amount."""
        spec = WalletSpec.model_validate_json(await request.read())
        account = self._account(request)
        self._world.deposit(account, spec.asset, spec.amount)
        return _json({"asset": spec.asset, "wallet": str(account.balances[spec.asset].wallet)})

    async def set_position(self, request: web.Request) -> web.Response:
        """The wallet is left alone."""
        spec = PositionSpec.model_validate_json(await request.read())
        position = spec.put(self._world, self._account(request))
        return _json({"symbol": position.symbol, "amount": str(position.amount)})

    async def show_limits(self, _request: web.Request) -> web.Response:
        """As they are."""
        return _json(asdict(self._limiter.limits))

    async def change_limits(self, request: web.Request) -> web.Response:
        """Only what is given changes."""
        spec = LimitsSpec.model_validate_json(await request.read())
        for name, value in spec.model_dump(exclude={"forgive"}, exclude_none=True).items():
            setattr(self._limiter.limits, name, value)
        if spec.forgive:
            self._limiter.forgive()
        return _json(asdict(self._limiter.limits))

    async def list_faults(self, _request: web.Request) -> web.Response:
        """In the order in which they were added."""
        return _json([{"id": one.id, "applied": one.applied, **asdict(one.fault)} for one in self._faults])

    async def add_fault(self, request: web.Request) -> web.Response:
        """In force from the next request on."""
        spec = FaultSpec.model_validate_json(await request.read())
        try:
            return _json({"id": self._faults.add(spec.fault())})
        except TypeError as error:
            raise WorldError(f"fault {spec.kind!r}: {error}") from None

    async def clear_faults(self, request: web.Request) -> web.Response:
        """One or all."""
        number = request.match_info.get("id")
        self._faults.clear(int(number) if number else None)
        return _json({})

    async def list_requests(self, request: web.Request) -> web.Response:
        """The kept ones that match."""
        query = request.query
        records = self._journal.select(
            account=query.get("account"),
            path=query.get("path"),
            method=query.get("method"),
            write=TRUE.get(query.get("write", "")),
            effect=TRUE.get(query.get("effect", "")),
            client_id=query.get("client_id"),
            after=int(query.get("after", "0")),
        )
        return _json([asdict(record) for record in records])

    async def count_requests(self, _request: web.Request) -> web.Response:
        """Of all requests since the start."""
        rows = sorted(self._journal.counts.items())
        return _json([{**asdict(key), "count": number} for key, number in rows])

    def _account(self, request: web.Request) -> Account:
        return self._world.account(request.match_info["name"])

    def _order(self, request: web.Request) -> Order:
        ref = request.match_info["symbol"], int(request.match_info["order_id"])
        try:
            return self._account(request).orders[ref]
        except KeyError:
            raise WorldError(f"order {ref[1]} of {ref[0]} does not exist") from None

    def _order_view(self, order: Order) -> dict[str, Any]:
        return queried_order(order, self._world.spec(order.symbol))


def _up_to_now(world: World) -> Any:
    """What has become due happens before an action is carried out."""

    @web.middleware
    async def act(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        world.deadlines.pass_by()
        return await handler(request)

    return act


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except ValidationError as error:
        return _json({"error": error.errors(include_url=False, include_input=False, include_context=False)}, UNREADABLE)
    except WorldError as error:
        return _json({"error": str(error)}, CONFLICT)
    except ValueError as error:
        return _json({"error": str(error)}, UNREADABLE)


def _key(key: ApiKey) -> dict[str, Any]:
    return {
        "api_key": key.api_key,
        "secret": key.secret,
        "fingerprint": key.fingerprint,
        "account": key.account,
        "permissions": sorted(key.permissions),
    }


def _json(payload: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(payload, default=str), status=status, content_type="application/json")
