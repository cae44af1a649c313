"""The exchange side: one account read whole through ccxt, or not at all. The only package that imports ccxt."""

from accountsync.exchange.budget import WeightBudget
from accountsync.exchange.ccxt_exchange import CcxtExchange
from accountsync.exchange.endpoint import EndpointPolicy
from accountsync.exchange.library import exchange_ids, required_credentials
from accountsync.exchange.trading import CcxtTrading
from accountsync.exchange.venue import Venue, Venues

__all__ = [
    "CcxtExchange",
    "CcxtTrading",
    "EndpointPolicy",
    "Venue",
    "Venues",
    "WeightBudget",
    "exchange_ids",
    "required_credentials",
]
