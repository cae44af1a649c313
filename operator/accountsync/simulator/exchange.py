"""The exchange's front door: from a request as it came over the wire to what is to be sent back, without a network.

In: `WireRequest`. Out: `Delivery`. Steps, in this order: find the call and the caller, choose the faults that hit,
charge the weight, check key, signature and time, run the handler, bend the answer, log it. Nothing here waits, so each
request sees and leaves the world whole; waiting and breaking connections is the server's part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from accountsync.simulator import bend, refusals
from accountsync.simulator.call import Call
from accountsync.simulator.faults import UNKNOWN_OUTCOME, ActiveFault, FaultBook, Kind
from accountsync.simulator.history import History, question
from accountsync.simulator.journal import Journal, RequestRecord
from accountsync.simulator.limits import Pool, RateLimiter
from accountsync.simulator.model import ApiKey, fingerprint
from accountsync.simulator.refusals import Refusal
from accountsync.simulator.reorder import Reordering
from accountsync.simulator.routes import BY_METHOD_AND_PATH, Route
from accountsync.simulator.security import (
    SIGNATURE,
    Security,
    check_key,
    check_signature,
    check_time,
    parse_params,
)
from accountsync.simulator.world import World

OK = 200
UNAVAILABLE = 503
NO_ANSWER = 0
UNKNOWN_PATH_WEIGHT = 1
SILENT = (Kind.HANG, Kind.RESET)


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A request: query string and body exactly as sent. `late_by`: what held it back on the way."""

    method: str
    path: str
    query: str
    body: str
    api_key: str
    peer: str
    late_by: tuple[ActiveFault, ...] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """What to send, and how: after `latency` seconds, once `held_by` is cleared, in turn; then reset or whole."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    latency: float = 0.0
    held_by: ActiveFault | None = None
    reordering: Reordering | None = None
    reset: ActiveFault | None = None


@dataclass(slots=True)
class _Exchange:
    """One request on its way through; filled in step by step."""

    request: WireRequest
    route: Route | None
    key: ApiKey | None
    now_ms: int
    faults: Sequence[ActiveFault]
    params: Mapping[str, str] = field(default_factory=dict)
    weight: int = UNKNOWN_PATH_WEIGHT
    signed: bool = False
    retry_after: int | None = None
    bent_by: list[ActiveFault] = field(default_factory=list)
    effect: bool = False

    def lost(self) -> bool:
        """Whether a fault keeps it from taking effect."""
        return any(active.fault.kind in SILENT and not active.fault.executed for active in self.faults)

    def of_kind(self, kind: Kind) -> list[ActiveFault]:
        return [active for active in self.faults if active.fault.kind is kind]

    def bend(self, active: ActiveFault) -> None:
        active.applied += 1
        self.bent_by.append(active)


@dataclass(slots=True)
class Exchange:
    """All that answering needs."""

    world: World
    faults: FaultBook
    limiter: RateLimiter
    journal: Journal
    history: History

    def respond(self, request: WireRequest) -> Delivery:
        """Answer one request, with whatever faults are in force."""
        self.world.deadlines.pass_by()
        route = BY_METHOD_AND_PATH.get((request.method, request.path))
        key = self.world.keys.get(request.api_key)
        passing = _Exchange(request, route, key, self.world.now_ms(), self._hitting(request))
        passing.bent_by.extend(request.late_by)
        before = self.world.revision
        status, payload = self._answer(passing)
        passing.effect = self.world.revision != before
        status, body = self._bent(passing, status, payload)
        self._log(passing, status, payload)
        return self._delivery(passing, status, body)

    def on_the_way(self, request: WireRequest) -> tuple[ActiveFault, ...]:
        """The faults that hold `request` back before it is answered; each counts once."""
        late_by = tuple(self._hitting(request, on_the_way=True))
        for active in late_by:
            active.applied += 1
        return late_by

    def _hitting(self, request: WireRequest, *, on_the_way: bool = False) -> list[ActiveFault]:
        key = self.world.keys.get(request.api_key)
        return self.faults.hitting(
            method=request.method,
            path=request.path,
            account=key.account if key else "",
            key=fingerprint(request.api_key),
            on_the_way=on_the_way,
        )

    def _answer(self, passing: _Exchange) -> tuple[int, object]:
        try:
            self._admit(passing)
            error = next(iter(passing.of_kind(Kind.HTTP_ERROR)), None)
            if error and not error.fault.executed:
                return OK, None
            if passing.lost():
                return UNAVAILABLE, Refusal(*UNKNOWN_OUTCOME).payload
            return OK, self._run(passing)
        except Refusal as refusal:
            passing.retry_after = refusal.retry_after
            return refusal.status, refusal.payload

    def _admit(self, passing: _Exchange) -> None:
        request, route = passing.request, passing.route
        bad_params: Refusal | None = None
        try:
            passing.params = parse_params(request.query, request.body)
        except Refusal as refusal:
            bad_params = refusal
        if route:
            passing.weight = route.weight(passing.params)
        self.limiter.charge(request.peer, _pool(route), passing.weight, passing.now_ms)
        if bad_params:
            raise bad_params

    def _run(self, passing: _Exchange) -> object:
        route, request = passing.route, passing.request
        if route is None:
            raise refusals.no_such_path(request.method, request.path)
        check_key(route.security, request.api_key, passing.key)
        server_time = passing.now_ms + self._skew(passing)
        if route.security.signed and passing.key:
            check_signature(passing.key.secret, request.query, request.body, passing.params)
            passing.signed = True
            check_time(passing.params, server_time)
        caller = self.world.account(passing.key.account) if passing.key and route.security.signed else None
        told_time = server_time if request.path.endswith("/time") else passing.now_ms
        return route.handler(Call(self.world, self.limiter.limits, passing.params, told_time, caller, passing.key))

    def _skew(self, passing: _Exchange) -> int:
        skew = 0
        for active in passing.of_kind(Kind.CLOCK_SKEW):
            skew += active.fault.options["milliseconds"]
            passing.bend(active)
        return skew

    def _bent(self, passing: _Exchange, status: int, payload: object) -> tuple[int, bytes]:
        """Status and body with all faults but those of delivery."""
        for error in passing.of_kind(Kind.HTTP_ERROR)[:1]:
            if status == OK:
                passing.bend(error)
                options = error.fault.options
                return options["status"], orjson.dumps({"code": options["code"], "msg": options["message"]})
        body = orjson.dumps(payload)
        if status != OK:
            return status, body
        return status, self._bent_body(passing, self._stale(passing, body))

    def _stale(self, passing: _Exchange, body: bytes) -> bytes:
        request = passing.request
        if request.method != "GET":
            return body
        asked = question(fingerprint(request.api_key), request.method, request.path, passing.params)
        self.history.remember(asked, passing.now_ms, body)
        for active in passing.of_kind(Kind.STALE)[:1]:
            moment = passing.now_ms - round(active.fault.options["age"] * 1000)
            passing.bend(active)
            return self.history.as_of(asked, moment) or body
        return body

    def _bent_body(self, passing: _Exchange, body: bytes) -> bytes:
        content: Any = None
        for active in passing.faults:
            fault = active.fault
            if fault.kind not in (Kind.DUPLICATED, Kind.NEGATIVE_QUANTITY, Kind.UNPARSABLE_QUANTITY):
                continue
            content = orjson.loads(body) if content is None else content
            if _bend_content(fault.kind, content, fault.options):
                passing.bend(active)
        if content is not None:
            body = orjson.dumps(content)
        for active in passing.of_kind(Kind.TRUNCATED)[:1]:
            passing.bend(active)
            body = body[: len(body) // 2]
        return body

    def _delivery(self, passing: _Exchange, status: int, body: bytes) -> Delivery:
        delays, hangs, resets, reorders = (
            passing.of_kind(kind) for kind in (Kind.LATENCY, Kind.HANG, Kind.RESET, Kind.REORDER)
        )
        return Delivery(
            status,
            body,
            self._headers(passing),
            latency=sum(active.fault.options["seconds"] for active in delays),
            held_by=hangs[0] if hangs else None,
            reordering=reorders[0].reordering if reorders else None,
            reset=resets[0] if resets else None,
        )

    def _headers(self, passing: _Exchange) -> dict[str, str]:
        peer, now = passing.request.peer, passing.now_ms
        headers = {"X-MBX-USED-WEIGHT-1M": str(self.limiter.used(peer, Pool.FUTURES, now))}
        if _pool(passing.route) is Pool.WALLET:
            headers["X-SAPI-USED-IP-WEIGHT-1M"] = str(self.limiter.used(peer, Pool.WALLET, now))
        if passing.retry_after is not None:
            headers["Retry-After"] = str(passing.retry_after)
        return headers

    def _log(self, passing: _Exchange, status: int, payload: object) -> None:
        request, route, key = passing.request, passing.route, passing.key
        for active in passing.faults:
            if active.fault.kind in (Kind.LATENCY, Kind.REORDER, *SILENT):
                passing.bend(active)
        silent = any(active.fault.kind in SILENT for active in passing.bent_by)
        security = route.security if route else Security.NONE
        self.journal.append(
            RequestRecord(
                sequence=self.journal.total + 1,
                time=passing.now_ms,
                peer=request.peer,
                method=request.method,
                path=request.path,
                params={name: value for name, value in passing.params.items() if name != SIGNATURE},
                key=fingerprint(request.api_key),
                account=key.account if key else "",
                security=security.value,
                signed=passing.signed,
                status=NO_ANSWER if silent else status,
                code=payload["code"] if isinstance(payload, dict) and "msg" in payload and status != OK else 0,
                weight=passing.weight,
                effect=passing.effect,
                write=security is Security.TRADE or (route is None and request.method != "GET"),
                faults=tuple(active.fault.kind.value for active in passing.bent_by),
            )
        )


def _pool(route: Route | None) -> Pool:
    return route.pool if route else Pool.FUTURES


def _bend_content(kind: Kind, content: object, options: Mapping[str, Any]) -> bool:
    if kind is Kind.DUPLICATED:
        return bend.duplicate(content, options["differ"])
    if kind is Kind.NEGATIVE_QUANTITY:
        return bend.negate(content)
    return bend.garble(content, options["text"], options["name"])
