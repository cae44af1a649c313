"""Texts of a spec that must have a form: addresses and names of objects."""

from typing import Annotated

from pydantic import Field

from accountsync.api.markers import Matches

PORT_MAX = 65535

_HOST = r"([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
_PORT = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"  # 1 to 65535
_ORIGIN = rf"https?://{_HOST}(:{_PORT})?"

Origin = Annotated[
    str,
    Field(max_length=300),
    Matches(
        rf"^({_ORIGIN})?$",
        "expected an origin such as https://fapi.example.com or http://127.0.0.1:8900: http or https, a host and "
        "maybe a port, with no path, no closing slash, no user and no query; leave it empty for the exchange itself",
        in_schema=False,
    ),
]
AbsoluteUrl = Annotated[
    str,
    Field(max_length=1024),
    Matches(
        rf"^{_ORIGIN}(/[!-\x22$-~]*)?$",
        "expected an absolute URL such as https://bot.example.com/state: http or https, a host, maybe a port and a "
        "path, with no user and no fragment; a credential belongs into secretRef",
        in_schema=False,
    ),
]
ObjectName = Annotated[
    str,
    Field(max_length=253),
    Matches(
        r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        "expected the name of an object in this namespace: lower-case letters, digits, '-' and '.', e.g. grid-btc",
    ),
]
SharedName = Annotated[
    str,
    Field(max_length=63),
    Matches(
        r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$",
        "expected a name that the bots of one exchange account share: lower-case letters, digits, '-' and '.'; leave "
        "it empty if no other bot trades on the account",
    ),
]
ServiceName = Annotated[
    str,
    Field(max_length=63),
    Matches(
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "expected the name of a Service in this namespace, without namespace or domain: lower-case letters, digits "
        "and '-', e.g. grid-btc",
    ),
]
