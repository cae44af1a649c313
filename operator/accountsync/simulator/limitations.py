"""Where the simulator says less than the real exchange, or something else: the whole list.

`LEFT_OUT` are fields of Binance's published response models that an answer lacks, with the reason. `SIMPLIFIED` are
fields that are there, with the right type, and whose value does not mean what it means on the exchange.
"""

from collections.abc import Mapping
from types import MappingProxyType

LEFT_OUT: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("order", "activatePrice"): "the exchange sends it with trailing stops only, which are algo orders now",
        ("order", "priceRate"): "the exchange sends it with trailing stops only, which are algo orders now",
        ("exchangeInfo.filters", "*"): "the published model is the union; each filter carries its own fields only",
    }
)

SIMPLIFIED: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("positionRisk", "adl"): "2 for a position, 0 for none: no queue is modelled",
        ("ticker/price", "price"): "the mark price: there is no tape",
        ("depth", "lastUpdateId"): "the time: there is no stream of updates to join",
        ("bookTicker", "lastUpdateId"): "as depth",
        ("ticker/24hr", "*"): "a day without a trade at the mark price",
        ("premiumIndex", "indexPrice"): "the mark price",
        ("premiumIndex", "estimatedSettlePrice"): "the mark price",
        ("premiumIndex", "lastFundingRate"): "constant, whatever rate was paid",
        ("userTrades", "commission"): "positive if paid, as the exchange answers; its published example is negative",
        ("userTrades", "commissionAsset"): "always the margin asset: no fees in BNB",
        ("income", "info"): "always the income type",
        ("forceOrders", "price"): "the price of the fill, rounded to the tick; the exchange sends its limit",
        ("account/apiRestrictions", "enableFutures"): "whether the key may trade; a read key reads futures without it",
        ("algoOrders", "tpTriggerPrice"): "always 0, as are tpPrice, slTriggerPrice and slPrice: no brackets",
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
    "The book is made up around the mark price (`Depth`) and is the same for all; accounts' orders are not in it.",
    "What is taken of the book is there again at once or, unless it `refills`, after the symbol's next mark price.",
    "An order of the API takes what crosses it when it is placed; what rests then is filled by the world only.",
    "An order by hand, an amended one and a triggered one's limit child rest whatever their price and timeInForce.",
    "A reduce-only order is cut to what is left to close, after reducing orders at its price or better; else -2022.",
    "In hedge mode an order that would close more than is left of its leg is refused with -2022, not cut.",
    "A resting order that can only reduce keeps its quantity while the position shrinks, and expires when it is gone.",
    "A market order without a price within PERCENT_PRICE, or with an empty book, is refused with -4131.",
    "A market order's rest expires at PERCENT_PRICE; the exchange has a bound of its own for that (marketTakeBound).",
    "newOrderRespType=RESULT tells the end of MARKET, IOC and FOK orders; others are NEW, even if they took at once.",
    "The margin of a new order is that of the larger exposure; neither fees nor the loss of a bad price are added.",
    "A quantity or price between two steps is refused with -4023 or -4014, one of too many digits with -1111.",
    "priceMatch is refused with -1020; a selfTradePreventionMode is told back and prevents nothing.",
    "A countdown cancels ordinary orders, not conditional ones; Binance does not say.",
    "Countdowns and GTD orders end when the next call or control action comes, but are dated at their own moment.",
    "Placing several orders in one call, testing an order, moving isolated margin and multi-assets mode: -1020.",
    "Another leverage leaves the margin that was set apart for an isolated position as it is.",
    "Klines show the mark price as it is now, without a trade, since September 2019: no prices of the past are kept.",
    "A cancel of all orders that finds none is answered as one that did.",
    "Funding is paid when the world says so, at its rate; time that passes pays none.",
    "Liquidated is what a new mark price or funding takes below its maintenance margin, not what was below it before.",
    "A liquidation closes a position whole, at the mark price and at once; the exchange first tries with a part of it.",
    "Under cross margin the position with the largest maintenance margin is liquidated first.",
    "A liquidation costs the taker's fee and, for the insurance fund, liquidationFee or what no other position needs.",
    "The insurance fund makes good what a wallet lacks once no cross position is left.",
    "Auto-deleveraging (ADL) happens by hand only, at the mark price instead of another account's bankruptcy price.",
    "ADL expires the open orders of the position's symbol and side; Binance says 'any open orders', not whose.",
    "Amounts are reckoned with all their digits and rounded to eight decimals only where they are shown.",
    "The wallet that an account is opened with has no income row.",
    "userTrades covers the last 7 days for an orderId without times too.",
    "income and forceOrders answer any span of the last 90 days; the exchange says no more than 'three months'.",
    "More trades, income or forced orders than the limit: the newest without startTime (or page), else the oldest.",
    "A conditional order needs no margin until it is triggered, and a position only for closePosition (else -4509).",
    "closePosition on the side that opens a hedge leg is refused with -2022; Binance only says that it cannot be used.",
    "A conditional order watches the mark price, whatever its workingType: there is no other price.",
    "A triggered order is TRIGGERED, or FINISHED with its market child, at once: TRIGGERING lasts no time.",
    "A child order carries the clientAlgoId as its client id; the exchange does so without saying so.",
    "algoOrder has actualType and actualQty once triggered, as the exchange answers; its example has them before.",
    "A market child is filled whole at the mark price; its margin is not checked, nor is priceProtect.",
    "A child that the book refuses (nothing to reduce, or its client id in use) makes the algo order REJECTED.",
    "GTE_GTC and GTD conditional orders are not taken, and closing a position expires no conditional order.",
    "A trailing stop's triggerPrice follows the mark price, and activatePrice and callbackRate are in every answer.",
    "Stops are triggered before positions are liquidated when one mark price does both.",
    "Algo order ids count up over all symbols and accounts by one, and their number is not limited.",
    "allOrders needs a symbol, as until 2026-08-25; the exchange has since made it optional.",
    "allOrders and allAlgoOrders answer the newest rows without startTime or id, else the oldest; `page` is ignored.",
    "allOrders and allAlgoOrders with an id and no times answer all that is kept, not the last 7 days alone.",
    "An amended GTX order is not cancelled for crossing the market, and priceMatch is refused.",
    "Amending an order that is not open is refused with -2013, with another side than its own with -1117.",
    "orderAmendment answers an empty list for an order that does not exist.",
    "An order's notional is not checked against the bracket that its leverage allows.",
    "Order-count headers (X-MBX-ORDER-COUNT-…) are not sent, and the order limits are told but not enforced.",
    "recvWindow over 60000 is refused with -1131, the code published for the spot and options markets.",
    "Weight counts for answers with a fault too; the exchange counts 'may or may not'.",
    "Closed orders and fills stay in memory for ever; queries forget them as the exchange does.",
    "Only HMAC keys; no RSA or Ed25519 keys, no address allow-lists on keys.",
    "Order ids count up within a symbol by one; the exchange's leave gaps.",
    "An open order is found by id for 90 days only, as documented, but listed among open orders for ever.",
)
