"""What went wrong, as one of our own reasons.

Nothing of what upstream said is passed on: ccxt puts signed URLs and whole bodies into its messages, and an exception
keeps its cause, its context and the frames that it came through. So a failure is always made anew, and always raised
after the `except` block has ended.
"""

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

from accountsync.errors import AccountSyncError, ConfigurationError, ExchangeUnobserved, Reason
from accountsync.exchange import library

T = TypeVar("T")


class OrderUnknownError(Exception):
    """The exchange said that it knows no such order."""


def _reasons() -> tuple[tuple[type[Exception], Reason], ...]:
    """The exceptions of ccxt, the narrower before the wider."""
    ccxt = library.errors()
    return (
        (ccxt.AuthenticationError, Reason.CREDENTIALS_REJECTED),
        (ccxt.ArgumentsRequired, Reason.SPEC_INVALID),
        (ccxt.NotSupported, Reason.SPEC_INVALID),
        (ccxt.RequestTimeout, Reason.EXCHANGE_TIMEOUT),
        (ccxt.InvalidNonce, Reason.EXCHANGE_CLOCK_SKEW),
        (ccxt.DDoSProtection, Reason.RATE_LIMITED),
        (ccxt.RateLimitExceeded, Reason.RATE_LIMITED),
        (ccxt.ExchangeNotAvailable, Reason.EXCHANGE_UNAVAILABLE),
        (ccxt.NetworkError, Reason.EXCHANGE_UNREACHABLE),
        (ccxt.BadResponse, Reason.EXCHANGE_MALFORMED),
        (ccxt.OperationFailed, Reason.EXCHANGE_UNAVAILABLE),
        (ccxt.BaseError, Reason.EXCHANGE_REFUSED),
        (TimeoutError, Reason.EXCHANGE_TIMEOUT),
        (OSError, Reason.EXCHANGE_UNREACHABLE),
        # a KeyError, a decimal that is none: content that neither ccxt nor we expected
        (Exception, Reason.EXCHANGE_MALFORMED),
    )


WORDS = {
    Reason.CREDENTIALS_REJECTED: "{exchange} rejected the credentials while {doing}: check key, rights and IP list",
    Reason.SPEC_INVALID: "{doing} on {exchange} needs something else ({kind}); perhaps spec.exchange.symbols",
    Reason.EXCHANGE_TIMEOUT: "{exchange} did not answer in time while {doing}",
    Reason.EXCHANGE_CLOCK_SKEW: "{exchange} refused our clock while {doing}: the clocks are too far apart",
    Reason.RATE_LIMITED: "{exchange} limited our rate while {doing}",
    Reason.EXCHANGE_UNAVAILABLE: "{exchange} was not available while {doing}",
    Reason.EXCHANGE_UNREACHABLE: "{exchange} could not be reached while {doing}",
    Reason.EXCHANGE_MALFORMED: "{exchange} answered something that cannot be understood while {doing} ({kind})",
    Reason.EXCHANGE_REFUSED: "{exchange} refused while {doing} ({kind})",
}
OF_A_PERSON = frozenset({Reason.CREDENTIALS_REJECTED, Reason.SPEC_INVALID})


def failure(reason: Reason, message: str) -> AccountSyncError:
    """The exception that carries `reason`: a person must act, or this side is Unknown this time."""
    return ConfigurationError(reason, message) if reason in OF_A_PERSON else ExchangeUnobserved(reason, message)


def translated(error: Exception, exchange: str, doing: str) -> AccountSyncError | OrderUnknownError:
    """`error` as one of ours, without cause, context, traceback or upstream text."""
    if isinstance(error, AccountSyncError):
        return fresh(error)
    if isinstance(error, OrderUnknownError | library.errors().OrderNotFound):
        return OrderUnknownError()
    reason = next(reason for kind, reason in _reasons() if isinstance(error, kind))
    message = WORDS[reason].format(exchange=exchange, doing=doing, kind=type(error).__name__)
    return failure(reason, message)


def fresh(error: AccountSyncError) -> AccountSyncError:
    """A copy that remembers nothing of where it came from."""
    if isinstance(error, ExchangeUnobserved):
        return ExchangeUnobserved(error.reason, error.message, retry_after=error.retry_after)
    return type(error)(error.reason, error.message)


async def understood(exchange: str, doing: str, call: Awaitable[T]) -> T:
    """The result of `call`; whatever it raises comes out as ours."""
    try:
        return await call
    except Exception as error:  # noqa: BLE001 - ccxt may raise anything on content that it doesn't expect
        problem = translated(error, exchange, doing)
    raise problem


async def unless_needed(call: Awaitable[T], seconds: float) -> T | None:
    """The result of `call`, None where this part alone could not be read, or not within `seconds`.

    Raises what concerns all the other parts too: a limited rate, and what a person must change.
    """
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError:
        return None
    except ExchangeUnobserved as problem:
        if problem.reason is Reason.RATE_LIMITED:
            raise
        return None


async def side_by_side(*parts: Coroutine[Any, Any, Any]) -> list[Any]:
    """All results, or the worst failure with the others cancelled and waited for."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in parts]
        return [task.result() for task in tasks]
    except ExceptionGroup as several:
        problem = fresh(min((error for error in several.exceptions if isinstance(error, AccountSyncError)), key=_rank))
    raise problem


def _rank(error: AccountSyncError) -> int:
    if isinstance(error, ConfigurationError):
        return 0
    return 1 if error.reason is Reason.RATE_LIMITED else 2
