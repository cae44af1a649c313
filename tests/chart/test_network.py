"""What the network policies let through. Whether a cluster enforces them is up to its network plugin."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from tests.support.helm import CILIUM, Document, Helm, HelmError, kinds, only

pytestmark = pytest.mark.lint

DEFAULT_DNS = [
    {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}},
    {"ipBlock": {"cidr": "169.254.20.10/32"}},
]


def policy(helm: Helm, *, apis: tuple[str, ...] = (), **values: Any) -> Document:
    documents = helm.template({"networkPolicy": {"enabled": True, **values}}, apis=apis)
    spec: Document = only(documents, "NetworkPolicy", "accountsync")["spec"]
    return spec


def rule(spec: Document, port: int) -> Document:
    (found,) = (each for each in spec["egress"] if port in {entry["port"] for entry in each["ports"]})
    assert isinstance(found, dict)
    return found


def lets_out(spec: Document, address: str) -> bool:
    """Whether port 443 of `address` can be reached."""
    wanted = ip_address(address)
    blocks = [peer["ipBlock"] for peer in rule(spec, 443)["to"]]
    return any(
        wanted in ip_network(block["cidr"]) and not any(wanted in ip_network(hole) for hole in block.get("except", ()))
        for block in blocks
    )


def test_only_the_metrics_come_in_and_from_whom_one_says(helm: Helm) -> None:
    spec = policy(helm)
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == [{"ports": [{"protocol": "TCP", "port": "metrics"}]}]
    prometheus = {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}
    (closed,) = policy(helm, metricsFrom=[prometheus])["ingress"]
    assert closed["from"] == [prometheus]


def test_names_are_resolved_in_the_cluster(helm: Helm) -> None:
    names = rule(policy(helm), 53)
    assert names["to"] == DEFAULT_DNS
    assert [entry["protocol"] for entry in names["ports"]] == ["UDP", "TCP"]


@pytest.mark.parametrize("address", ["1.1.1.1", "52.84.1.1", "172.15.0.1", "2600:9000::1"])
def test_public_addresses_can_be_reached(helm: Helm, address: str) -> None:
    assert lets_out(policy(helm), address)


@pytest.mark.parametrize(
    "address",
    [
        "10.96.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "127.0.0.1",
        "169.254.169.254",  # metadata of most clouds
        "168.63.129.16",  # of Azure
        "100.100.100.200",  # of Alibaba, in the shared range
        "192.0.0.192",  # of Oracle
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "fd00:ec2::254",  # metadata of AWS
        "fe80::1",
        "ff02::1",
    ],
)
def test_private_and_metadata_addresses_cannot(helm4: Helm, address: str) -> None:
    assert not lets_out(policy(helm4), address)


def test_without_a_cluster_to_ask_the_api_server_is_port_6443_anywhere(helm: Helm) -> None:
    assert rule(policy(helm), 6443) == {"ports": [{"protocol": "TCP", "port": 6443}]}


def test_the_api_server_is_where_one_says(helm: Helm) -> None:
    spec = policy(helm, apiServer={"cidrs": ["10.0.0.1/32"], "ports": [16443]})
    assert rule(spec, 16443) == {
        "ports": [{"protocol": "TCP", "port": 16443}],
        "to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}],
    }


@pytest.mark.parametrize("port", [443, 16443])
def test_no_other_port_is_open_to_every_address_for_want_of_the_api_servers(helm: Helm, port: int) -> None:
    with pytest.raises(HelmError, match=rf"networkPolicy\.apiServer\.cidrs: .*Port {port} would be open"):
        policy(helm, apiServer={"ports": [6443, port]})


def test_exchanges_can_be_limited_to_ones_own_addresses(helm: Helm) -> None:
    spec = policy(helm, exchanges={"public": False, "cidrs": ["203.0.113.0/24"], "ports": [8443]})
    assert rule(spec, 8443)["to"] == [{"ipBlock": {"cidr": "203.0.113.0/24"}}]
    assert not [each for each in spec["egress"] if {"protocol": "TCP", "port": 443} in each["ports"]]


def test_bots_are_named_by_selectors(helm: Helm) -> None:
    bot = {"namespaceSelector": {"matchLabels": {"team": "desk"}}, "podSelector": {"matchLabels": {"app": "bot"}}}
    assert rule(policy(helm, bots=[{**bot, "ports": [8080]}]), 8080)["to"] == [bot]


def test_databases_are_named_by_selectors_or_addresses_and_listen_where_postgresql_does(helm: Helm) -> None:
    server = {"podSelector": {"matchLabels": {"app": "postgres"}}}
    spec = policy(helm, databases=[server, {"ipBlock": {"cidr": "10.1.2.3/32"}, "ports": [6432]}])
    assert rule(spec, 5432) == {"ports": [{"protocol": "TCP", "port": 5432}], "to": [server]}
    assert rule(spec, 6432)["to"] == [{"ipBlock": {"cidr": "10.1.2.3/32"}}]


def test_with_cilium_exchanges_are_reached_by_name_and_no_longer_by_any_public_address(helm: Helm) -> None:
    values: Document = {"cilium": {"enabled": True, "fqdns": ["fapi.binance.com", "*.bybit.com"]}}
    documents = helm.template({"networkPolicy": {"enabled": True, **values}}, apis=(CILIUM,))
    egress = only(documents, "CiliumNetworkPolicy")["spec"]["egress"]
    (names,) = (each["toFQDNs"] for each in egress if "toFQDNs" in each)
    assert names == [{"matchName": "fapi.binance.com"}, {"matchPattern": "*.bybit.com"}]
    ports = [entry["port"] for each in policy(helm, apis=(CILIUM,), **values)["egress"] for entry in each["ports"]]
    assert 443 not in ports


@pytest.mark.parametrize("fqdns", [[], ["*"], ["fapi.binance.com", "*"]], ids=str)
def test_with_cilium_no_exchange_or_any_is_refused_also_without_the_schema(helm: Helm, fqdns: list[str]) -> None:
    values = {"networkPolicy": {"enabled": True, "cilium": {"enabled": True, "fqdns": fqdns}}}
    with pytest.raises(HelmError, match=r"networkPolicy[./]cilium[./]fqdns"):
        helm.template(values, apis=(CILIUM,))
    with pytest.raises(HelmError, match=r"networkPolicy\.cilium\.fqdns: name the exchanges"):
        helm.template(values, "--skip-schema-validation", apis=(CILIUM,))


def test_where_cilium_is_missing_the_public_rule_stays(helm: Helm) -> None:
    values: Document = {"cilium": {"enabled": True, "fqdns": ["fapi.binance.com"]}}
    assert "CiliumNetworkPolicy" not in kinds(helm.template({"networkPolicy": {"enabled": True, **values}}))
    assert lets_out(policy(helm, **values), "1.1.1.1")
