"""Every call that the simulator has: one row each. Weights: Binance's documentation, "Weight(IP)" of each call.

To add a call, write its handler and add its row; nothing else needs to know.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from accountsync.simulator import (
    amending,
    calls_account,
    calls_algo,
    calls_book,
    calls_history,
    calls_market,
    calls_order,
    calls_settings,
    calls_trade,
)
from accountsync.simulator.call import Call
from accountsync.simulator.limits import Pool
from accountsync.simulator.security import Security

Weight = Callable[[Mapping[str, str]], int]
DEFAULT_DEPTH = 500
DEPTH_WEIGHTS = ((50, 2), (100, 5), (500, 10))
HEAVIEST_DEPTH = 20
DEFAULT_CANDLES = 500
CANDLE_WEIGHTS = ((99, 1), (499, 2), (1000, 5))
HEAVIEST_CANDLES = 10


def always(weight: int) -> Weight:
    """The same weight whatever is asked."""
    return lambda _params: weight


def by_symbol(one: int, every: int) -> Weight:
    """`one` if a symbol is given, `every` if all are asked for."""
    return lambda params: one if params.get("symbol") else every


def by_depth(params: Mapping[str, str]) -> int:
    """The more levels are asked for, the heavier."""
    return _by_limit(params, DEFAULT_DEPTH, DEPTH_WEIGHTS, HEAVIEST_DEPTH)


def by_candles(params: Mapping[str, str]) -> int:
    """The more candles are asked for, the heavier."""
    return _by_limit(params, DEFAULT_CANDLES, CANDLE_WEIGHTS, HEAVIEST_CANDLES)


def _by_limit(params: Mapping[str, str], default: int, steps: tuple[tuple[int, int], ...], heaviest: int) -> int:
    wanted = params.get("limit", "")
    limit = int(wanted) if wanted.isascii() and wanted.isdigit() else default
    return next((weight for most, weight in steps if limit <= most), heaviest)


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table."""

    method: str
    path: str
    weight: Weight
    security: Security
    handler: Callable[[Call], object]

    @property
    def pool(self) -> Pool:
        """The budget that the call is charged to."""
        return Pool.WALLET if self.path.startswith("/sapi/") else Pool.FUTURES


ROUTES: tuple[Route, ...] = (
    Route("GET", "/fapi/v1/ping", always(1), Security.NONE, calls_market.ping),
    Route("GET", "/fapi/v1/time", always(1), Security.NONE, calls_market.time),
    Route("GET", "/fapi/v1/exchangeInfo", always(1), Security.NONE, calls_market.exchange_info),
    Route("GET", "/fapi/v1/ticker/price", by_symbol(1, 2), Security.NONE, calls_market.price_ticker),
    Route("GET", "/fapi/v2/ticker/price", by_symbol(1, 2), Security.NONE, calls_market.price_ticker),
    Route("GET", "/fapi/v1/ticker/24hr", by_symbol(1, 40), Security.NONE, calls_market.day_ticker),
    Route("GET", "/fapi/v1/depth", by_depth, Security.NONE, calls_book.depth),
    Route("GET", "/fapi/v1/ticker/bookTicker", by_symbol(2, 5), Security.NONE, calls_book.book_ticker),
    Route("GET", "/fapi/v1/klines", by_candles, Security.NONE, calls_market.klines),
    Route("GET", "/fapi/v1/premiumIndex", by_symbol(1, 10), Security.NONE, calls_market.premium_index),
    Route("GET", "/fapi/v1/leverageBracket", always(1), Security.USER_DATA, calls_market.leverage_bracket),
    Route("GET", "/fapi/v1/positionSide/dual", always(30), Security.USER_DATA, calls_account.position_mode),
    Route("GET", "/fapi/v1/multiAssetsMargin", always(30), Security.USER_DATA, calls_account.multi_assets_mode),
    Route("GET", "/fapi/v1/accountConfig", always(5), Security.USER_DATA, calls_account.account_config),
    Route("GET", "/fapi/v1/symbolConfig", always(5), Security.USER_DATA, calls_account.symbol_config),
    Route("GET", "/fapi/v1/commissionRate", always(20), Security.USER_DATA, calls_account.commission_rate),
    Route("GET", "/fapi/v2/positionRisk", always(5), Security.USER_DATA, calls_account.position_risk_v2),
    Route("GET", "/fapi/v3/positionRisk", always(5), Security.USER_DATA, calls_account.position_risk_v3),
    Route("GET", "/fapi/v2/account", always(5), Security.USER_DATA, calls_account.account_v2),
    Route("GET", "/fapi/v3/account", always(5), Security.USER_DATA, calls_account.account_v3),
    Route("GET", "/fapi/v2/balance", always(5), Security.USER_DATA, calls_account.balances),
    Route("GET", "/fapi/v3/balance", always(5), Security.USER_DATA, calls_account.balances),
    Route("GET", "/fapi/v1/openOrders", by_symbol(1, 40), Security.USER_DATA, calls_order.open_orders),
    Route("GET", "/fapi/v1/allOrders", always(5), Security.USER_DATA, calls_order.all_orders),
    Route("GET", "/fapi/v1/orderAmendment", always(1), Security.USER_DATA, amending.history),
    Route("GET", "/fapi/v1/openAlgoOrders", by_symbol(1, 40), Security.USER_DATA, calls_algo.open_algo_orders),
    Route("GET", "/fapi/v1/algoOrder", always(1), Security.USER_DATA, calls_algo.algo_order),
    Route("GET", "/fapi/v1/allAlgoOrders", always(5), Security.USER_DATA, calls_algo.all_algo_orders),
    Route("GET", "/fapi/v1/openOrder", always(1), Security.USER_DATA, calls_order.open_order),
    Route("GET", "/fapi/v1/order", always(1), Security.USER_DATA, calls_order.order),
    Route("GET", "/fapi/v1/userTrades", always(5), Security.USER_DATA, calls_history.user_trades),
    Route("GET", "/fapi/v1/income", always(30), Security.USER_DATA, calls_history.income),
    Route("GET", "/fapi/v1/forceOrders", by_symbol(20, 50), Security.USER_DATA, calls_history.force_orders),
    Route("POST", "/fapi/v1/order", always(0), Security.TRADE, calls_trade.place),
    Route("DELETE", "/fapi/v1/order", always(1), Security.TRADE, calls_trade.cancel),
    Route("PUT", "/fapi/v1/order", always(1), Security.TRADE, amending.amend),
    Route("POST", "/fapi/v1/order/test", always(1), Security.TRADE, calls_trade.not_yet),
    Route("POST", "/fapi/v1/batchOrders", always(5), Security.TRADE, calls_trade.not_yet),
    Route("PUT", "/fapi/v1/batchOrders", always(5), Security.TRADE, calls_trade.not_yet),
    Route("DELETE", "/fapi/v1/batchOrders", always(1), Security.TRADE, calls_trade.cancel_several),
    Route("DELETE", "/fapi/v1/allOpenOrders", always(1), Security.TRADE, calls_trade.cancel_all),
    Route("POST", "/fapi/v1/countdownCancelAll", always(10), Security.TRADE, calls_trade.count_down),
    Route("POST", "/fapi/v1/algoOrder", always(0), Security.TRADE, calls_algo.place),
    Route("DELETE", "/fapi/v1/algoOrder", always(1), Security.TRADE, calls_algo.cancel),
    Route("DELETE", "/fapi/v1/algoOpenOrders", always(1), Security.TRADE, calls_algo.cancel_all),
    Route("POST", "/fapi/v1/leverage", always(1), Security.TRADE, calls_settings.change_leverage),
    Route("POST", "/fapi/v1/marginType", always(1), Security.TRADE, calls_settings.change_margin_type),
    Route("POST", "/fapi/v1/positionMargin", always(1), Security.TRADE, calls_trade.not_yet),
    Route("POST", "/fapi/v1/positionSide/dual", always(1), Security.TRADE, calls_settings.change_position_mode),
    Route("POST", "/fapi/v1/multiAssetsMargin", always(1), Security.TRADE, calls_trade.not_yet),
    Route("GET", "/sapi/v1/system/status", always(1), Security.NONE, calls_market.system_status),
    Route("GET", "/sapi/v1/account/apiRestrictions", always(1), Security.USER_DATA, calls_account.key_permissions),
    Route("GET", "/sapi/v1/capital/config/getall", always(10), Security.USER_DATA, calls_market.coins),
    Route("GET", "/sapi/v1/margin/allPairs", always(1), Security.MARKET_DATA, calls_market.margin_pairs),
)
BY_METHOD_AND_PATH: Mapping[tuple[str, str], Route] = {(route.method, route.path): route for route in ROUTES}
