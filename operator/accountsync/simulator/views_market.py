"""Contracts, prices and brackets in Binance's words: the same for everyone."""

from decimal import Decimal
from typing import Any

from accountsync.simulator.candles import Candle
from accountsync.simulator.decimals import fixed, money, plain
from accountsync.simulator.filters import MAX_OPEN_ORDERS
from accountsync.simulator.limits import Limits
from accountsync.simulator.markets import SymbolSpec

FUNDING_INTERVAL_MS = 8 * 3_600_000
DAY_MS = 86_400_000
FOREVER_MS = 4_133_404_800_000
LISTED_MS = 1_569_398_400_000
ORDER_TYPES = ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"]
TIMES_IN_FORCE = ["GTC", "IOC", "FOK", "GTX", "GTD"]


def rate_limits(limits: Limits) -> list[dict[str, Any]]:
    """The limits as they are now."""
    rows = (
        ("REQUEST_WEIGHT", "MINUTE", 1, limits.weight_per_minute),
        ("ORDERS", "MINUTE", 1, limits.orders_per_minute),
        ("ORDERS", "SECOND", 10, limits.orders_per_10s),
    )
    return [
        {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
        for kind, interval, number, limit in rows
    ]


def asset(name: str) -> dict[str, Any]:
    """A row of exchangeInfo's assets."""
    return {"asset": name, "marginAvailable": True, "autoAssetExchange": "-10000"}


def contract(spec: SymbolSpec) -> dict[str, Any]:
    """A row of exchangeInfo's symbols."""
    return {
        "symbol": spec.symbol,
        "pair": spec.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": FOREVER_MS,
        "onboardDate": LISTED_MS,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": spec.base,
        "quoteAsset": spec.quote,
        "marginAsset": spec.margin_asset,
        "pricePrecision": spec.price_places,
        "quantityPrecision": spec.quantity_places,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["Layer-1"],
        "settlePlan": 0,
        "triggerProtect": "0.0500",
        "liquidationFee": fixed(spec.liquidation_fee, 6),
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10_000,
        "filters": _filters(spec),
        "orderTypes": ORDER_TYPES,
        "timeInForce": TIMES_IN_FORCE,
        "permissionSets": ["GRID", "COPY"],
    }


def _filters(spec: SymbolSpec) -> list[dict[str, Any]]:
    lot = {"minQty": plain(spec.step_size), "stepSize": plain(spec.step_size)}
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": plain(spec.tick_size),
            "maxPrice": plain(spec.max_price),
            "tickSize": fixed(spec.tick_size, spec.price_places),
        },
        {"filterType": "LOT_SIZE", **lot, "maxQty": plain(spec.max_quantity)},
        {"filterType": "MARKET_LOT_SIZE", **lot, "maxQty": plain(spec.max_market_quantity)},
        {"filterType": "MAX_NUM_ORDERS", "limit": MAX_OPEN_ORDERS},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
        {"filterType": "MIN_NOTIONAL", "notional": plain(spec.min_notional)},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": fixed(1 + spec.percent_price, 4),
            "multiplierDown": fixed(1 - spec.percent_price, 4),
            "multiplierDecimal": "4",
        },
    ]


def leverage_bracket(spec: SymbolSpec) -> dict[str, Any]:
    """A row of leverageBracket; its numbers are JSON numbers."""
    return {
        "symbol": spec.symbol,
        "notionalCoef": 1.0,
        "brackets": [
            {
                "bracket": step.number,
                "initialLeverage": step.max_leverage,
                "notionalCap": step.cap,
                "notionalFloor": step.floor,
                "maintMarginRatio": float(step.maintenance_rate),
                "cum": float(step.deduction),
            }
            for step in spec.brackets
        ],
    }


def price_ticker(spec: SymbolSpec, price: Decimal, now_ms: int) -> dict[str, Any]:
    """A row of ticker/price: the last price, which here is the mark price."""
    return {"symbol": spec.symbol, "price": fixed(price, spec.price_places), "time": now_ms}


def premium_index(spec: SymbolSpec, price: Decimal, now_ms: int) -> dict[str, Any]:
    """A row of premiumIndex; index and settlement price equal the mark."""
    return {
        "symbol": spec.symbol,
        "markPrice": money(price),
        "indexPrice": money(price),
        "estimatedSettlePrice": money(price),
        "lastFundingRate": "0.00010000",
        "interestRate": "0.00010000",
        "nextFundingTime": (now_ms // FUNDING_INTERVAL_MS + 1) * FUNDING_INTERVAL_MS,
        "time": now_ms,
    }


def kline(spec: SymbolSpec, price: Decimal, candle: Candle) -> list[Any]:
    """A row of klines: nothing was traded, at the mark price as it is now."""
    text = fixed(price, spec.price_places)
    nothing = fixed(Decimal(0), spec.quantity_places)
    no_money = fixed(Decimal(0), spec.price_places)
    return [candle.open_ms, text, text, text, text, nothing, candle.close_ms, no_money, 0, nothing, no_money, "0"]


def day_ticker(spec: SymbolSpec, price: Decimal, now_ms: int) -> dict[str, Any]:
    """A row of ticker/24hr: a day without a trade at the mark price."""
    text = fixed(price, spec.price_places)
    nothing = fixed(Decimal(0), spec.quantity_places)
    return {
        "symbol": spec.symbol,
        "priceChange": fixed(Decimal(0), spec.price_places),
        "priceChangePercent": "0.000",
        "weightedAvgPrice": text,
        "lastPrice": text,
        "lastQty": nothing,
        "openPrice": text,
        "highPrice": text,
        "lowPrice": text,
        "volume": nothing,
        "quoteVolume": "0.00",
        "openTime": now_ms - DAY_MS,
        "closeTime": now_ms,
        "firstId": 0,
        "lastId": 0,
        "count": 0,
    }
