"""How each exchange was tested, by ccxt's ids. What is not listed was never run, and its accounts are told so."""

from collections.abc import Mapping
from typing import Final

from accountsync.exchange.library import exchange_ids

TESTED: Final[Mapping[str, str]] = {
    "binanceusdm": (
        "read from its raw answers; over HTTP against the simulator, with its own formats, errors, request weights and"
        " faults, in every test of the operator"
    ),
}
"""Exchange → what it was run against."""


def untested(exchange_id: str) -> bool:
    """Whether this is an exchange, by ccxt's word, that goes through its unified calls and was never run."""
    return exchange_id not in TESTED and exchange_id in exchange_ids()
