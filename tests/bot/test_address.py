import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from accountsync.bot.address import AddressPolicy, ForbiddenAddressError, GuardedResolver
from accountsync.errors import ConfigurationError, Reason

POLICY = AddressPolicy(
    ["http://127.0.0.1:*", "https://bots.example.com", "http://[::1]:8080", "http://169.254.169.254:*"]
)


class Names(AbstractResolver):
    """A resolver of made-up names."""

    def __init__(self, names: dict[str, list[str]]) -> None:
        self.names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.names[host]
        ]

    async def close(self) -> None:
        pass


def refused(url: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        POLICY.url(url)
    assert caught.value.reason is Reason.BOT_ADDRESS_NOT_ALLOWED
    return caught.value.message


def test_a_service_of_the_namespace_becomes_its_url() -> None:
    assert POLICY.service(namespace="trading", name="grid-btc", port=8080) == "http://grid-btc.trading.svc:8080/state"
    assert (
        AddressPolicy(cluster_domain="svc.cluster.local").service(
            namespace="trading", name="grid-btc", port=443, path="/a/b.json", scheme="https"
        )
        == "https://grid-btc.trading.svc.cluster.local:443/a/b.json"
    )


@pytest.mark.parametrize(
    "name", ["", "a.b", "a.other", "A", "-a", "a-", "a_b", "a/b", "a:1", "a@b", "a\n", "ä", "a" * 64]
)
@pytest.mark.parametrize("which", ["name", "namespace"])
def test_a_service_that_is_no_dns_label_is_refused(which: str, name: str) -> None:
    names = {"name": "grid-btc", "namespace": "trading"} | {which: name}
    with pytest.raises(ConfigurationError, match=r"DNS label") as caught:
        POLICY.service(port=80, **names)
    assert caught.value.reason is Reason.BOT_ADDRESS_NOT_ALLOWED


@pytest.mark.parametrize(
    "path",
    [
        "",
        "state",
        "//..",
        "/..",
        "/a/../b",
        "/a/.",
        "/./a",
        "/%2e%2e/a",
        "/a?b",
        "/a#b",
        "/a b",
        "/a\r\nHost: x",
        "\\a",
        "/ä",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match=r"spec\.bot\.state\.http\.service\.path"):
        POLICY.service(namespace="trading", name="grid-btc", port=80, path=path)


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(ConfigurationError, match=r"service\.port"):
        POLICY.service(namespace="trading", name="grid-btc", port=port)


def test_a_scheme_other_than_http_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"spec\.bot\.state\.freqtrade\.service\.scheme"):
        POLICY.service(
            namespace="trading", name="bot", port=80, scheme="file", field="spec.bot.state.freqtrade.service"
        )


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("http://127.0.0.1:8123/state", "http://127.0.0.1:8123/state"),
        ("http://127.0.0.1", "http://127.0.0.1:80/"),
        ("https://bots.example.com/grid", "https://bots.example.com:443/grid"),
        ("https://bots.example.com:443/grid", "https://bots.example.com:443/grid"),
        ("http://[0:0:0:0:0:0:0:1]:8080/a", "http://[::1]:8080/a"),
    ],
)
def test_a_url_whose_origin_is_on_the_allow_list_is_taken(url: str, normal: str) -> None:
    assert POLICY.url(url) == normal
    assert URL(normal).raw_host == normal.split("://")[1].rpartition(":")[0].strip("[]")


@pytest.mark.parametrize(
    "url",
    [
        "http://bots.example.com/",
        "https://bots.example.com:8443/",
        "https://bots.example.com.evil.test/",
        "https://evil.test/bots.example.com",
        "https://xbots.example.com/",
        "http://127.0.0.2/",
        "http://localhost/",
        "http://[::1]:8081/",
        "http://grid-btc.other.svc/state",
    ],
)
def test_a_url_of_another_origin_is_refused_with_what_to_do(url: str) -> None:
    assert "allow-list" in refused(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://user:hunter2@bots.example.com/",
        "https://bots.example.com@evil.test/",
        "https://bots.example.com\\@evil.test/",
        "https://bots.example.com/?token=hunter2",
        "https://bots.example.com/#hunter2",
        "https://bots.example.com/a/../b",
        "https://bots.example.com/%2e%2e/b",
        "https://bots.example.com:0/",
        "https://bots.example.com:65536/",
        "https://bots.example.com:*/",
        "https://bots.example.com./",
        "https://bots.example.com /",
        "https://bots.example.com/\n",
        "//bots.example.com/",
        "file:///etc/passwd",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.0x1/",
        "http://bots.1example/",
        "https://BOTS.example.com/",
        "http://0177.0.0.1/",
        "http://[127.0.0.1]/",
        "http://[fe80::1%25eth0]/",
        "http://[abc.de]/",
        "http://127.0.0.1/" + "a" * 3000,
    ],
)
def test_a_url_that_parsers_may_read_differently_is_refused_and_not_repeated(url: str) -> None:
    message = refused(url)
    assert "must be http(s)://host" in message
    assert "hunter2" not in message


def test_no_allow_list_allows_the_metadata_service() -> None:
    assert "metadata" in refused("http://169.254.169.254/latest")


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_url_or_refused(text: str) -> None:
    for url in (text, f"https://bots.example.com{text}", f"http://127.0.0.1:{text}"):
        try:
            taken = URL(POLICY.url(url))
        except ConfigurationError:
            continue
        assert str(taken.origin()) in {"https://bots.example.com", f"http://127.0.0.1:{taken.port}", "http://127.0.0.1"}


@pytest.mark.parametrize(
    "entry",
    ["", "bots.example.com", "https://bots.example.com/a", "https://*.example.com", "ftp://x", "https://u:hunter2@x"],
)
def test_an_entry_that_is_no_origin_is_refused_at_the_start(entry: str) -> None:
    with pytest.raises(ValueError, match="entry 2 of the operator's allow-list") as caught:
        AddressPolicy(["http://127.0.0.1:*", entry])
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("domain", ["svc:80/", "svc.1", "127.0.0.1"])
def test_a_cluster_domain_that_is_none_is_refused_at_the_start(domain: str) -> None:
    with pytest.raises(ValueError, match="cluster domain"):
        AddressPolicy(cluster_domain=domain)


FORBIDDEN = [
    "169.254.169.254",
    "169.254.0.1",
    "0.0.0.0",
    "0.0.0.1",
    "224.0.0.1",
    "239.1.2.3",
    "240.0.0.1",
    "255.255.255.255",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fe80::1",
    "fe80::1%2",
    "ff02::1",
    "::",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
    "2002:a9fe:a9fe::1",
    "64:ff9b::a9fe:a9fe",
]
LOOPBACK = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]
ORDINARY = [
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "93.184.216.34",
    "fd12::1",
    "2600::1",
    "::ffff:10.0.0.1",
]


@pytest.mark.parametrize("address", FORBIDDEN + LOOPBACK)
async def test_a_name_that_stands_for_a_special_address_is_refused(address: str) -> None:
    resolver = GuardedResolver(POLICY, Names({"grid.trading.svc": ["10.0.0.1", address]}))
    with pytest.raises(ForbiddenAddressError):
        await resolver.resolve("grid.trading.svc", 80)


@pytest.mark.parametrize("address", ORDINARY)
async def test_a_name_that_stands_for_an_ordinary_address_is_resolved(address: str) -> None:
    resolver = GuardedResolver(POLICY, Names({"grid.trading.svc": [address]}))
    assert [found["host"] for found in await resolver.resolve("grid.trading.svc", 80)] == [address]


async def test_loopback_is_for_hosts_of_the_allow_list_and_their_ports() -> None:
    policy = AddressPolicy(["http://bot.test:8080"])
    resolver = GuardedResolver(policy, Names({"bot.test": ["127.0.0.1"]}))
    assert await resolver.resolve("bot.test", 8080)
    with pytest.raises(ForbiddenAddressError):
        await resolver.resolve("bot.test", 8081)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_loopback_over_ipv6_is_for_hosts_of_the_allow_list(scheme: str) -> None:
    policy = AddressPolicy([f"{scheme}://[0::1]:8080"])
    assert policy.permits("::1", 8080, "::1")
    assert not policy.permits("::1", 8081, "::1")
    assert not policy.permits("bot.test", 8080, "::1")


async def test_the_allow_list_does_not_reach_special_addresses_through_a_name() -> None:
    policy = AddressPolicy(["http://bot.test:*"])
    resolver = GuardedResolver(policy, Names({"bot.test": ["169.254.169.254"]}))
    with pytest.raises(ForbiddenAddressError):
        await resolver.resolve("bot.test", 80)


def test_another_path_beside_a_url_stays_at_its_origin() -> None:
    for url in (POLICY.service(namespace="trading", name="grid-btc", port=8080), POLICY.url("http://127.0.0.1:1/a/b")):
        origin = URL(url).origin()
        assert POLICY.beside(url, "/repair") == f"{origin}/repair"
    for path in ("", "repair", "/..", "/a?b", "@evil.example/", "/%2e"):
        with pytest.raises(ConfigurationError, match=r"spec\.bot\.state\.http\.repairPath") as caught:
            POLICY.beside("http://127.0.0.1:1/a", path)
        assert caught.value.reason is Reason.BOT_ADDRESS_NOT_ALLOWED
