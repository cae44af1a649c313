"""Field names and JSON types of the published response models of Binance's USD-M futures, wallet and margin calls."""

TEXT, INT, BOOL, NUMBER, LIST = (str,), (int,), (bool,), (int, float), (list,)
OBJECT, NULL = (dict,), (type(None),)
Model = dict[str, tuple[type, ...]]


def model(**names: str) -> Model:
    """Fields by type: each value is a list of names, separated by spaces."""
    types = {"text": TEXT, "integer": INT, "boolean": BOOL, "number": NUMBER, "lists": LIST}
    types |= {"objects": OBJECT, "null": NULL}
    return {name: types[kind] for kind, fields in names.items() for name in fields.split()}


TIME = model(integer="serverTime")
EXCHANGE_INFO = model(lists="exchangeFilters rateLimits assets symbols", integer="serverTime", text="timezone")
RATE_LIMIT = model(text="interval rateLimitType", integer="intervalNum limit")
ASSET_INFO = model(text="asset autoAssetExchange", boolean="marginAvailable")
CONTRACT = model(
    text="symbol pair contractType status maintMarginPercent requiredMarginPercent baseAsset quoteAsset marginAsset "
    "underlyingType triggerProtect liquidationFee marketTakeBound",
    integer="deliveryDate onboardDate pricePrecision quantityPrecision baseAssetPrecision quotePrecision settlePlan",
    lists="underlyingSubType filters orderTypes timeInForce",
)
FILTER = model(
    text="filterType maxPrice minPrice tickSize maxQty minQty stepSize notional multiplierUp multiplierDown "
    "multiplierDecimal",
    integer="limit",
)
PRICE = model(text="symbol price", integer="time")
PREMIUM_INDEX = model(
    text="symbol markPrice indexPrice estimatedSettlePrice lastFundingRate interestRate",
    integer="nextFundingTime time",
)
DAY = model(
    text="symbol priceChange priceChangePercent weightedAvgPrice lastPrice lastQty openPrice highPrice lowPrice volume "
    "quoteVolume",
    integer="openTime closeTime firstId lastId count",
)
DEPTH = model(integer="lastUpdateId E T", lists="bids asks")
BOOK_TICKER = model(text="symbol bidPrice bidQty askPrice askQty", integer="time lastUpdateId")
BRACKETS = model(text="symbol", number="notionalCoef", lists="brackets")
BRACKET = model(integer="bracket initialLeverage notionalCap notionalFloor", number="maintMarginRatio cum")
ORDER = model(
    text="avgPrice clientOrderId cumQuote executedQty origQty origType price side positionSide status stopPrice symbol "
    "timeInForce type workingType priceMatch selfTradePreventionMode activatePrice priceRate",
    integer="orderId time updateTime goodTillDate",
    boolean="reduceOnly closePosition priceProtect",
)
PLACED = model(
    text="clientOrderId cumQty executedQty origQty price side positionSide status stopPrice symbol timeInForce type "
    "origType workingType priceMatch selfTradePreventionMode",
    integer="orderId updateTime goodTillDate",
    boolean="reduceOnly closePosition priceProtect",
)
CANCELED = PLACED | model(text="activatePrice priceRate")
LISTED_ORDER = ORDER | model(text="pair cumBase")
MODIFIED = PLACED | model(text="pair", integer="modifyId")
AMENDMENT = model(integer="amendmentId orderId time", text="symbol pair clientOrderId", objects="amendment")
AMENDED = model(objects="price origQty", integer="count modifyId")
CHANGED = model(text="before after")
ALGO_COMMON = model(
    text="clientAlgoId algoType orderType symbol side positionSide timeInForce quantity algoStatus actualOrderId "
    "actualPrice triggerPrice price tpOrderType selfTradePreventionMode workingType priceMatch",
    integer="algoId createTime updateTime triggerTime goodTillDate",
    boolean="closePosition priceProtect reduceOnly",
    null="icebergQuantity",
)
PLACED_ALGO_ORDER = model(
    text="clientAlgoId algoType orderType symbol side positionSide timeInForce quantity algoStatus triggerPrice price "
    "selfTradePreventionMode workingType priceMatch activatePrice callbackRate",
    integer="algoId createTime updateTime triggerTime goodTillDate",
    boolean="closePosition priceProtect reduceOnly",
    null="icebergQuantity",
)
CANCELED_ALGO_ORDER = model(text="clientAlgoId code msg", integer="algoId")
CANCELED_ALL = model(text="msg", integer="code")
COUNTDOWN = model(text="symbol countdownTime")
ALGO_ORDER = ALGO_COMMON | model(text="actualType actualQty")
LISTED_ALGO_ORDER = ALGO_COMMON | model(text="tpTriggerPrice tpPrice slTriggerPrice slPrice")
TRADE = model(
    text="commission commissionAsset price qty quoteQty realizedPnl side positionSide symbol",
    integer="id orderId time",
    boolean="buyer maker",
)
INCOME = model(text="symbol incomeType income asset info tradeId", integer="time tranId")
FORCED_ORDER = model(
    text="symbol status clientOrderId price avgPrice origQty executedQty cumQuote timeInForce type side positionSide "
    "stopPrice workingType origType",
    integer="orderId time updateTime",
    boolean="reduceOnly closePosition",
)
KEY_PERMISSIONS = model(
    integer="createTime",
    boolean="ipRestrict enableReading enableWithdrawals enableInternalTransfer enableMargin enableFutures "
    "permitsUniversalTransfer enableVanillaOptions enableFixApiTrade enableFixReadOnly enableSpotAndMarginTrading "
    "enablePortfolioMarginTrading",
)
POSITION_RISK_V2 = model(
    text="entryPrice breakEvenPrice marginType isAutoAddMargin isolatedMargin leverage liquidationPrice markPrice "
    "maxNotionalValue positionAmt notional isolatedWallet symbol unRealizedProfit positionSide",
    integer="updateTime",
)
POSITION_RISK_V3 = model(
    text="symbol positionSide positionAmt entryPrice breakEvenPrice markPrice unRealizedProfit liquidationPrice "
    "isolatedMargin notional marginAsset isolatedWallet initialMargin maintMargin positionInitialMargin "
    "openOrderInitialMargin bidNotional askNotional",
    integer="adl updateTime",
)
ACCOUNT_V3 = model(
    text="totalInitialMargin totalMaintMargin totalWalletBalance totalUnrealizedProfit totalMarginBalance "
    "totalPositionInitialMargin totalOpenOrderInitialMargin totalCrossWalletBalance totalCrossUnPnl availableBalance "
    "maxWithdrawAmount",
    lists="assets positions",
)
SETTINGS = model(integer="feeTier updateTime tradeGroupId", boolean="canTrade canDeposit canWithdraw multiAssetsMargin")
ACCOUNT_V2 = ACCOUNT_V3 | SETTINGS | model(boolean="feeBurn")
ACCOUNT_CONFIG = SETTINGS | model(boolean="dualSidePosition")
ACCOUNT_ASSET = model(
    text="asset walletBalance unrealizedProfit marginBalance maintMargin initialMargin positionInitialMargin "
    "openOrderInitialMargin crossWalletBalance crossUnPnl availableBalance maxWithdrawAmount",
    integer="updateTime",
)
ACCOUNT_ASSET_V2 = ACCOUNT_ASSET | model(boolean="marginAvailable")
ACCOUNT_POSITION_V2 = model(
    text="symbol initialMargin maintMargin unrealizedProfit positionInitialMargin openOrderInitialMargin leverage "
    "entryPrice maxNotional bidNotional askNotional positionSide positionAmt",
    integer="updateTime",
    boolean="isolated",
)
ACCOUNT_POSITION_V3 = model(
    text="symbol positionSide positionAmt unrealizedProfit isolatedMargin notional isolatedWallet initialMargin "
    "maintMargin",
    integer="updateTime",
)
BALANCE = model(
    text="accountAlias asset balance crossWalletBalance crossUnPnl availableBalance maxWithdrawAmount",
    boolean="marginAvailable",
    integer="updateTime",
)
SYMBOL_CONFIG = model(text="symbol marginType maxNotionalValue", boolean="isAutoAddMargin", integer="leverage")
COMMISSION = model(text="symbol makerCommissionRate takerCommissionRate rpiCommissionRate")
POSITION_MODE = model(boolean="dualSidePosition")
MULTI_ASSETS = model(boolean="multiAssetsMargin")
COIN = model(
    text="coin name free locked freeze withdrawing ipoing ipoable storage",
    boolean="depositAllEnable withdrawAllEnable isLegalMoney trading",
    lists="networkList",
)
NETWORK = model(
    text="network coin withdrawIntegerMultiple depositDesc withdrawDesc specialTips specialWithdrawTips name "
    "addressRegex memoRegex withdrawFee withdrawMin withdrawMax withdrawInternalMin depositDust contractAddressUrl "
    "contractAddress",
    boolean="isDefault depositEnable withdrawEnable resetAddressStatus sameAddress withdrawTag busy",
    integer="minConfirm unLockConfirm estimatedArrivalTime denomination",
)
MARGIN_PAIR = model(
    text="base quote symbol", integer="id delistTime", boolean="isBuyAllowed isMarginTrade isSellAllowed"
)
