"""What runs beside a bot and answers whether it may trade; and the helper with which a bot in Python asks.

    from accountsync.gate import Gate

The modules are imported when they are used: the operator writes the heartbeat and needs none of the rest.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accountsync.gate.client import Gate as Gate
    from accountsync.gate.client import GateClosed as GateClosed

__all__ = ["Gate", "GateClosed"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from accountsync.gate import client  # noqa: PLC0415 - aiohttp is only for who asks

    return getattr(client, name)
