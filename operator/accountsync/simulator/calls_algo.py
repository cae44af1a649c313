"""Calls about conditional (algo) orders: asking, and for keys that may trade placing and cancelling."""

from accountsync.simulator import refusals
from accountsync.simulator.algo import AlgoOrder
from accountsync.simulator.call import Call
from accountsync.simulator.placing_algo import place_algo
from accountsync.simulator.span import week_span
from accountsync.simulator.views_algo import listed_algo, placed_algo, queried_algo


def open_algo_orders(call: Call) -> object:
    """Those that wait, of one symbol or of all; one of them if `algoId` is sent."""
    wanted, number = {spec.symbol for spec in call.symbols}, call.integer("algoId")
    if call.text("algoType") not in (None, "CONDITIONAL"):
        return []
    return [
        listed_algo(algo, call.world.spec(algo.symbol))
        for algo in call.world.algos.open_of(call.account)
        if algo.symbol in wanted and number in (None, algo.algo_id)
    ]


def algo_order(call: Call) -> object:
    """One by algoId, or else by clientAlgoId: Refusal -2013 if there is none."""
    found = _find(call)
    if found is None:
        raise refusals.no_such_order()
    return queried_algo(found, call.world.spec(found.symbol))


def all_algo_orders(call: Call) -> object:
    """All of one symbol by rising id, whatever became of them: of a span, or from `algoId` on."""
    spec, first = call.required_symbol, call.integer("algoId")
    span = week_span(call, first)
    found = (algo for algo in call.world.algos.remembered(call.account, spec.symbol) if algo.algo_id >= (first or 0))
    return [listed_algo(algo, spec) for algo in span.choose(found, lambda algo: algo.create_time)]


def place(call: Call) -> object:
    """It waits for its trigger price."""
    algo = place_algo(call)
    return placed_algo(algo, call.world.spec(algo.symbol))


def cancel(call: Call) -> object:
    """Let one wait no more: Refusal -2011 if it does not."""
    found = _find(call)
    if found is None or not found.is_open:
        raise refusals.unknown_order()
    call.world.algos.cancel(found)
    return {"algoId": found.algo_id, "clientAlgoId": found.client_algo_id, "code": "200", "msg": "success"}


def cancel_all(call: Call) -> object:
    """Let none of a symbol wait any more; ordinary orders stay."""
    spec = call.required_symbol
    for algo in call.world.algos.open_of(call.account):
        if algo.symbol == spec.symbol:
            call.world.algos.cancel(algo)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def _find(call: Call) -> AlgoOrder | None:
    """By algoId, or else by clientAlgoId, of which one must be sent: Refusal -1102."""
    algo_id, client_algo_id = call.integer("algoId"), call.text("clientAlgoId")
    if algo_id is None and client_algo_id is None:
        raise refusals.missing_both("algoId", "clientAlgoId")
    return call.world.algos.find(call.account, algo_id=algo_id, client_algo_id=client_algo_id)
