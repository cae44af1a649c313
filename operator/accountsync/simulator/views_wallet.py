"""The wallet's calls (/sapi): those that clients make when they load markets with keys, and what a key may do.

Fields: the response models of Binance's wallet and margin documentation.
"""

from typing import Any

from accountsync.simulator.model import ApiKey, Permission

WITHDRAW_MAX = "9999999"


def coin(name: str) -> dict[str, Any]:
    """A row of capital/config/getall. The amounts are the spot wallet's, which is empty here."""
    return {
        "coin": name,
        "depositAllEnable": True,
        "withdrawAllEnable": True,
        "name": name,
        "free": "0",
        "locked": "0",
        "freeze": "0",
        "withdrawing": "0",
        "ipoing": "0",
        "ipoable": "0",
        "storage": "0",
        "isLegalMoney": False,
        "trading": True,
        "networkList": [_network(name)],
    }


def key_permissions(key: ApiKey) -> dict[str, Any]:
    """The answer of account/apiRestrictions. Trading here is futures trading; nothing else can be allowed."""
    return {
        "ipRestrict": False,
        "createTime": key.create_time,
        "enableReading": Permission.READ in key.permissions,
        "enableWithdrawals": False,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": Permission.TRADE in key.permissions,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": False,
        "enableSpotAndMarginTrading": False,
        "enablePortfolioMarginTrading": False,
    }


def _network(name: str) -> dict[str, Any]:
    return {
        "network": "ETH",
        "coin": name,
        "withdrawIntegerMultiple": "0.00000001",
        "isDefault": True,
        "depositEnable": True,
        "withdrawEnable": True,
        "depositDesc": "",
        "withdrawDesc": "",
        "specialTips": "",
        "specialWithdrawTips": "",
        "name": "Ethereum (ERC20)",
        "resetAddressStatus": False,
        "addressRegex": "^(0x)[0-9A-Fa-f]{40}$",
        "memoRegex": "",
        "withdrawFee": "0.0001",
        "withdrawMin": "0.0002",
        "withdrawMax": WITHDRAW_MAX,
        "withdrawInternalMin": "0.00000001",
        "depositDust": "0.00000001",
        "minConfirm": 6,
        "unLockConfirm": 64,
        "sameAddress": False,
        "withdrawTag": False,
        "estimatedArrivalTime": 5,
        "busy": False,
        "contractAddressUrl": "",
        "contractAddress": "",
        "denomination": 1,
    }


def margin_pair(number: int, base: str, quote: str) -> dict[str, Any]:
    """A row of margin/allPairs."""
    return {
        "base": base,
        "id": number,
        "isBuyAllowed": True,
        "isMarginTrade": True,
        "isSellAllowed": True,
        "quote": quote,
        "symbol": f"{base}{quote}",
        "delistTime": 0,
    }
