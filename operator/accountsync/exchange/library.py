"""ccxt itself, imported on first use and one exchange at a time.

`import ccxt` and `import ccxt.async_support` load all hundred exchanges, twice: 69 MiB. One exchange with the base
that it needs is 20. So while one module is imported, bare packages stand where those two would; afterwards they are
taken away again, and whoever imports the whole of ccxt later gets the whole, with the same classes.
"""

import difflib
import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from accountsync.domain.finding import sanitize
from accountsync.errors import ConfigurationError, Reason

PACKAGES = ("ccxt", "ccxt.async_support")
MOST_SUGGESTIONS = 3
_importing = threading.RLock()


@cache
def exchange_ids() -> tuple[str, ...]:
    """Every exchange id that ccxt knows, in order; reads a folder and imports nothing."""
    return tuple(sorted(file.stem for file in (_folder() / "async_support").glob("[a-z]*.py")))


def require_known(exchange_id: str) -> None:
    """Raise ConfigurationError (UnknownExchange), with near matches, unless ccxt knows `exchange_id`."""
    if exchange_id in exchange_ids():
        return
    near = difflib.get_close_matches(exchange_id.lower(), exchange_ids(), MOST_SUGGESTIONS)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise ConfigurationError(
        Reason.UNKNOWN_EXCHANGE, f"ccxt knows no exchange with the id {sanitize(exchange_id)}{hint}"
    )


def exchange_class(exchange_id: str) -> Any:
    """The asynchronous class of one exchange. Raises ConfigurationError for an unknown id."""
    require_known(exchange_id)
    return getattr(_load(f"ccxt.async_support.{exchange_id}"), exchange_id)


def errors() -> ModuleType:
    """The exceptions of ccxt."""
    return _load("ccxt.base.errors")


def throttler(client: Any) -> Any:
    """A new throttle for `client`, by ccxt's own rules for its exchange."""
    return _load("ccxt.async_support.base.throttler").Throttler(client.tokenBucket, client.asyncio_loop)


@cache
def required_credentials(exchange_id: str) -> frozenset[str]:
    """The credentials that an account on this exchange must have, by ccxt's names, such as apiKey."""
    return frozenset(name for name, required in _credentials(exchange_id).items() if required)


@cache
def known_credentials(exchange_id: str) -> frozenset[str]:
    """Every credential that ccxt has a name for."""
    return frozenset(_credentials(exchange_id))


def _credentials(exchange_id: str) -> dict[str, bool]:
    credentials: dict[str, bool] = exchange_class(exchange_id)().requiredCredentials
    return credentials


def _folder() -> Path:
    spec = importlib.util.find_spec("ccxt")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _load(name: str) -> ModuleType:
    with _importing:
        if name in sys.modules:
            return sys.modules[name]
        folder = _folder()
        with _bare_packages(folder):
            return importlib.import_module(name)


@contextmanager
def _bare_packages(folder: Path) -> Iterator[None]:
    if any(name in sys.modules for name in PACKAGES):
        yield  # the whole is there already
        return
    for name in PACKAGES:
        package = ModuleType(name)
        package.__path__ = [str(folder.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
    try:
        # what ccxt's own modules take from the package itself
        vars(sys.modules["ccxt"]).update(
            {
                name: value
                for name, value in vars(importlib.import_module("ccxt.base.errors")).items()
                if not name.startswith("_")
            }
        )
        sys.modules["ccxt"].Exchange = importlib.import_module("ccxt.base.exchange").Exchange  # type: ignore[attr-defined]
        yield
    finally:
        for name in PACKAGES:
            del sys.modules[name]
