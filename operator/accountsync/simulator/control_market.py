"""The control interface's part for the market: mark prices, books and the clock. Paths and bodies: `control.py`."""

from dataclasses import asdict

import orjson
from aiohttp import web
from pydantic import TypeAdapter

from accountsync.simulator.specs import Amount, DepthSpec, Spec
from accountsync.simulator.world import World

MARKS: TypeAdapter[dict[str, Amount]] = TypeAdapter(dict[str, Amount])
BOOKS: TypeAdapter[dict[str, DepthSpec]] = TypeAdapter(dict[str, DepthSpec])


class ClockSpec(Spec):
    """Time that passes at once."""

    advance_ms: int


class Market:
    """The handlers."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[web.RouteDef]:
        """To be added to the control application."""
        return [
            web.put("/control/marks", self.set_marks),
            web.get("/control/books", self.show_books),
            web.put("/control/books", self.set_books),
            web.post("/control/clock", self.advance_clock),
        ]

    async def set_marks(self, request: web.Request) -> web.Response:
        """Some or all symbols."""
        for symbol, price in MARKS.validate_json(await request.read()).items():
            self._world.set_mark_price(symbol, price)
        return _json({symbol: str(price) for symbol, price in self._world.marks.items()})

    async def show_books(self, _request: web.Request) -> web.Response:
        """How deep each book is."""
        return _json({symbol: asdict(self._world.books.depth(symbol)) for symbol in self._world.specs})

    async def set_books(self, request: web.Request) -> web.Response:
        """Some or all symbols; what is not given of one stays as it was."""
        for symbol, spec in BOOKS.validate_json(await request.read()).items():
            spec.put(self._world, symbol)
        return await self.show_books(request)

    async def advance_clock(self, request: web.Request) -> web.Response:
        """Forward only."""
        self._world.advance_clock(ClockSpec.model_validate_json(await request.read()).advance_ms)
        return _json({"time": self._world.now_ms()})


def _json(payload: object) -> web.Response:
    return web.Response(body=orjson.dumps(payload, default=str), content_type="application/json")
