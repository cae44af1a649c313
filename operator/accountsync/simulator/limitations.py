"""Where the simulator says less than the real exchange, or something else: the whole list.

`LEFT_OUT` are fields of Binance's published response models that an answer lacks, with the reason. `SIMPLIFIED` are
fields that are there, with the right type, and whose value does not mean what it means on the exchange.
"""

from collections.abc import Mapping
from types import MappingProxyType

LEFT_OUT: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("order", "activatePrice"): "the exchange sends it with trailing stops only; there are none yet",
        ("order", "priceRate"): "the exchange sends it with trailing stops only; there are none yet",
        ("exchangeInfo.filters", "*"): "the published model is the union; each filter carries its own fields only",
    }
)

SIMPLIFIED: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("positionRisk", "adl"): "2 for a position, 0 for none: no queue is modelled",
        ("ticker/price", "price"): "the mark price: there is no tape",
        ("ticker/24hr", "*"): "a day without a trade at the mark price",
        ("premiumIndex", "indexPrice"): "the mark price",
        ("premiumIndex", "estimatedSettlePrice"): "the mark price",
        ("premiumIndex", "lastFundingRate"): "constant; no funding is paid",
        ("account", "multiAssetsMargin"): "always false: single-asset mode only",
        ("account", "feeTier"): "always 0",
        ("account", "updateTime"): "always 0, as documented",
        ("leverageBracket", "notionalCoef"): "always 1.0; the exchange leaves it out unless brackets are adjusted",
        ("exchangeInfo.symbols", "maintMarginPercent"): "as published: 'ignore'",
        ("exchangeInfo.symbols", "requiredMarginPercent"): "as published: 'ignore'",
        ("capital/config/getall", "free"): "always 0: the spot wallet is empty",
        ("margin/allPairs", "delistTime"): "always 0; the exchange leaves it out unless a date is set",
    }
)

BEHAVIOUR: tuple[str, ...] = (
    "A limit order rests whatever its price; only the world fills it. Market orders and IOC or FOK are refused.",
    "Orders and positions are never liquidated, and funding is never paid.",
    "An order's notional is not checked against the bracket that its leverage allows, nor PERCENT_PRICE.",
    "Order-count headers (X-MBX-ORDER-COUNT-…) are not sent, and the order limits are told but not enforced.",
    "recvWindow over 60000 is refused with -1131, the code published for the spot and options markets.",
    "Weight counts for answers with a fault too; the exchange counts 'may or may not'.",
    "Closed orders and fills stay in memory for ever; queries forget them as the exchange does.",
    "Only HMAC keys; no RSA or Ed25519 keys, no address allow-lists on keys.",
    "Order ids count up within a symbol by one; the exchange's leave gaps.",
    "An open order is found by id for 90 days only, as documented, but listed among open orders for ever.",
)
