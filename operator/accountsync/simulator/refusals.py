"""Every way in which the simulated exchange says no: HTTP status, Binance's code and Binance's words.

Source: the error-code page of Binance's USD-M futures documentation. The statuses are those that the live exchange
answers with: 401 for keys, 429 and 418 for limits, 404 for a path that does not exist, 400 for everything else.
"""

from typing import Any

BAD_REQUEST = 400
UNAUTHORIZED = 401
NOT_FOUND = 404
BANNED = 418
TOO_MANY = 429


class Refusal(Exception):  # noqa: N818 - the exchange's answer, not an error of ours
    """An answer with an error code. `retry_after`: seconds for the Retry-After header."""

    def __init__(self, code: int, text: str, status: int = BAD_REQUEST, *, retry_after: int | None = None) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.status = status
        self.retry_after = retry_after

    @property
    def payload(self) -> dict[str, Any]:
        """The body, before encoding."""
        return {"code": self.code, "msg": self.text}


def over_limit(limit: int, retry_after: int) -> Refusal:
    """More weight in this minute than allowed."""
    text = (
        f"Too many requests; current limit is {limit} requests per minute. "
        "Please use the websocket for live updates to avoid polling the API."
    )
    return Refusal(-1003, text, TOO_MANY, retry_after=retry_after)


def banned(until_ms: int, retry_after: int) -> Refusal:
    """The address went on after 429s."""
    text = (
        f"Way too many requests; IP banned until {until_ms}. Please use the websocket for live updates to avoid bans."
    )
    return Refusal(-1003, text, BANNED, retry_after=retry_after)


def no_such_path(method: str, path: str) -> Refusal:
    """Neither this simulator nor, mostly, the exchange has this call."""
    return Refusal(-5000, f"Path {path}, Method {method} is invalid", NOT_FOUND)


def not_supported() -> Refusal:
    """The call exists, and the key may make it; the simulator cannot do it yet."""
    return Refusal(-1020, "This operation is not supported.")


def late() -> Refusal:
    """The timestamp is older than recvWindow allows."""
    return Refusal(-1021, "Timestamp for this request is outside of the recvWindow.")


def early() -> Refusal:
    """The timestamp is a second or more ahead of the exchange's clock."""
    return Refusal(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")


def start_after_end() -> Refusal:
    """A question about the past that ends before it starts."""
    return Refusal(-1023, "Start time is greater than end time.")


def bad_signature() -> Refusal:
    """The HMAC is not that of the parameters as sent."""
    return Refusal(-1022, "Signature for this request is not valid.")


def repeated() -> Refusal:
    """One name twice in the query string or in the body."""
    return Refusal(-1101, "Duplicate values for a parameter detected.")


def missing(name: str) -> Refusal:
    """A parameter that must be there is not, or cannot be read."""
    return Refusal(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def missing_both(one: str, other: str) -> Refusal:
    """One of two must be there."""
    return Refusal(-1102, f"Param '{one}' or '{other}' must be sent, but both were empty/null!")


def not_required(name: str) -> Refusal:
    """A parameter that does not go with another one."""
    return Refusal(-1106, f"Parameter '{name}' sent when not required.")


def invalid(name: str) -> Refusal:
    """A parameter that can be read and is none of what it may be."""
    return Refusal(-1130, f"Data sent for parameter '{name}' is not valid.")


def span_too_long(days: int) -> Refusal:
    """More time between startTime and endTime than one answer covers."""
    return Refusal(-4165, f"Maximum time interval is {days} days.")


def too_long_ago(days: int) -> Refusal:
    """A startTime before what the exchange keeps."""
    return Refusal(-4166, f"Search window is restricted to recent {days} days only.")


def bad_symbol() -> Refusal:
    """No such contract."""
    return Refusal(-1121, "Invalid symbol.")


def bad_receive_window() -> Refusal:
    """A recvWindow above its maximum."""
    return Refusal(-1131, "recvWindow must be less than 60000")


def bad_key_format() -> Refusal:
    """No key was sent, or something that is none."""
    return Refusal(-2014, "API-key format invalid.", UNAUTHORIZED)


def bad_key() -> Refusal:
    """An unknown or revoked key, or one that may not do this."""
    return Refusal(-2015, "Invalid API-key, IP, or permissions for action.", UNAUTHORIZED)


def duplicated_client_id() -> Refusal:
    """An open order bears that name."""
    return Refusal(-4116, "ClientOrderId is duplicated.")


def no_such_order() -> Refusal:
    """A query for an order that is not there, or not any more."""
    return Refusal(-2013, "Order does not exist.")


def unknown_order() -> Refusal:
    """A cancel of an order that is not open."""
    return Refusal(-2011, "Unknown order sent.")
