"""Requests go where the operator allows, and nowhere else."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accountsync.errors import ConfigurationError, ExchangeUnobserved, Reason
from accountsync.exchange import EndpointPolicy, Venue, Venues, exchange_ids
from accountsync.exchange.endpoint import moved
from accountsync.origin import InvalidOriginError, parse_origin

NOT_ORIGINS = [
    "",
    "fapi.example.com",
    "//fapi.example.com",
    "ftp://fapi.example.com",
    "wss://fapi.example.com",
    "https://",
    "https:///path",
    "https://user@fapi.example.com",
    "https://user:password@fapi.example.com",
    "https://fapi.example.com@evil.example",
    "https://fapi.example.com/path",
    "https://fapi.example.com//",
    "https://fapi.example.com?query",
    "https://fapi.example.com/?query",
    "https://fapi.example.com#fragment",
    "https://fapi.example.com\\@evil.example",
    "https://fapi.example.com:0",
    "https://fapi.example.com:65536",
    "https://fapi.example.com:port",
    "https://fapi.example.com:",
    "https://fapi.example.com:+80",
    "https://fapi.example.com:٨٠",
    "https://fapi.example.com ",
    " https://fapi.example.com",
    "https://fapi.example.com\n",
    "https://fapi\t.example.com",
    "https://fapi..example.com",
    "https://-fapi.example.com",
    "https://*.example.com",
    "https://fapi.example.com%2f.evil.example",
    "https://[::1",
    "https://[fe80::1%25eth0]",
    "https://[1.2.3.4]",
    "https://127.1",
    "https://0177.0.0.1",
    "https://2130706433",
    "https://0x7f.0x1",
    "https://fapi.1example",
    "https://fapi.example.com.",
    "https://[fapi.example]",
    f"https://{'a.' * 127}example",
    "https://exämple.com",
]


@pytest.mark.parametrize("text", NOT_ORIGINS)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        EndpointPolicy(["https://fapi.example.com", "https://evil.example"]).admit(text)
    assert caught.value.reason is Reason.ENDPOINT_NOT_ALLOWED
    assert "password" not in caught.value.message
    with pytest.raises(ValueError, match="entry 1 of the allowed exchange endpoints is wrong"):
        EndpointPolicy([text])


@pytest.mark.parametrize(
    ("entry", "endpoint"),
    [
        ("https://fapi.example.com", "https://fapi.example.com"),
        ("https://fapi.example.com", "https://FAPI.example.com:443/"),
        ("https://fapi.example.com:443", "https://fapi.example.com"),
        ("http://127.0.0.1:8900", "http://127.0.0.1:8900"),
        ("http://127.0.0.1:*", "http://127.0.0.1:1234"),
        ("http://127.0.0.1:*", "http://127.0.0.1"),
        ("http://[::1]:8900", "http://[0:0::1]:8900"),
    ],
)
def test_an_entry_admits_its_origin(entry: str, endpoint: str) -> None:
    EndpointPolicy([entry]).admit(endpoint)


@pytest.mark.parametrize(
    ("entry", "endpoint"),
    [
        ("https://fapi.example.com", "http://fapi.example.com"),
        ("https://fapi.example.com", "https://fapi.example.com:8443"),
        ("https://fapi.example.com", "https://fapi.example.com.evil.example"),
        ("https://fapi.example.com", "https://evil.fapi.example.com"),
        ("http://127.0.0.1:*", "http://127.0.0.2:80"),
        ("http://127.0.0.1:*", "https://127.0.0.1:80"),
        ("http://127.0.0.1:*", "http://localhost:80"),
    ],
)
def test_an_entry_admits_nothing_else(entry: str, endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="not in the operator's list"):
        EndpointPolicy([entry]).admit(endpoint)


def test_an_entry_is_in_lower_case() -> None:
    with pytest.raises(ValueError, match=r"entry 2 of the allowed exchange endpoints is wrong: .* lower case"):
        EndpointPolicy(["https://fapi.example.com", "https://FAPI.example.com"])


def test_an_entry_that_is_no_origin_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="entry 1") as caught:
        EndpointPolicy(["https://user:hunter2@fapi.example.com"])
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "host", "normal"),
    [
        ("https://fapi.example.com:443/", "fapi.example.com", "https://fapi.example.com"),
        ("http://fapi.example.com:443", "fapi.example.com", "http://fapi.example.com:443"),
        ("http://1.example:80", "1.example", "http://1.example"),
        ("http://[0:0::1]", "::1", "http://[::1]"),
        ("http://[::80]:8900", "::80", "http://[::80]:8900"),
        ("http://[::1]:*", "::1", "http://[::1]:*"),
    ],
)
def test_an_origin_has_one_normal_spelling(text: str, host: str, normal: str) -> None:
    origin = parse_origin(text, any_port=True)
    assert (origin.host, str(origin)) == (host, normal)


def test_nothing_is_allowed_by_default() -> None:
    with pytest.raises(ConfigurationError):
        Venues().get("binanceusdm", endpoint="https://fapi.binance.com")


def test_any_port_is_for_the_list_only() -> None:
    with pytest.raises(ConfigurationError):
        EndpointPolicy(["http://127.0.0.1:*"]).admit("http://127.0.0.1:*")


@given(st.text(max_size=40))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        origin = parse_origin(f"https://{text}")
    except InvalidOriginError:
        return
    assert parse_origin(str(origin)) == origin


def urls_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from urls_in(inner)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize(
    "exchange_id", ["binance", "binanceusdm", "bybit", "okx", "kraken", "bitfinex", "htx", "kucoin"]
)
def test_every_url_of_an_exchange_moves_and_keeps_its_path(venues: Venues, exchange_id: str) -> None:
    original = venues.get(exchange_id)._template.urls
    new = moved(original, parse_origin("http://127.0.0.1:8900"))
    for group in ("api", "test"):
        before, after = list(urls_in(original.get(group))), list(urls_in(new.get(group)))
        assert len(before) == len(after)
        for old, url in zip(before, after, strict=True):
            assert re.fullmatch(r"(https?|wss?)://[^/]*(.*)", old).group(2) == re.fullmatch(  # type: ignore[union-attr]
                r"(http|ws)://127\.0\.0\.1:8900(.*)", url
            ).group(2)


async def test_no_request_leaves_the_endpoint_whatever_ccxt_asks_for(venue: Venue) -> None:
    with pytest.raises(ExchangeUnobserved, match="another address"):
        await venue._wire.send("GET", "https://api.binance.com/sapi/v1/capital", {}, None, 1)


def test_an_unknown_exchange_has_near_ones(venues: Venues) -> None:
    with pytest.raises(ConfigurationError, match="id binanceudsm; did you mean binanceusdm or") as caught:
        venues.get("binanceudsm")
    assert caught.value.reason is Reason.UNKNOWN_EXCHANGE
    for odd in ("", "base", "__init__", "../binance", "Binance", "x" * 500):
        with pytest.raises(ConfigurationError):
            venues.get(odd)


def test_a_sandbox_that_does_not_exist_is_the_specs_fault(venues: Venues) -> None:
    with pytest.raises(ConfigurationError) as caught:
        venues.get("aster", sandbox=True)
    assert caught.value.reason is Reason.SPEC_INVALID


def test_the_sandbox_of_binance_futures_is_demo_trading(venues: Venues) -> None:
    urls = venues.get("binanceusdm", sandbox=True)._template.urls["api"]
    assert urls["fapiPrivateV3"].startswith("https://demo-fapi.binance.com/")


def test_every_exchange_of_ccxt_has_an_id(venues: Venues) -> None:
    assert len(exchange_ids()) > 100
    for exchange_id in exchange_ids()[::10]:
        venues.get(exchange_id)
