"""What every release stored is still accepted: the CRD only gains fields, and every one of those is optional.

Objects of a release that is out are never edited.
"""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.api.accounts import Cluster
from tests.support.controlplane import ControlPlane

from accountsync.api.v1alpha1 import TradingAccount, parse_status

pytestmark = pytest.mark.cluster

STORED = sorted((Path(__file__).parent / "stored").glob("*/*.yaml"))


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> Cluster:
    return Cluster(control_plane, "stored")


@pytest.fixture(params=STORED, ids=[f"{path.parent.name} {path.stem}" for path in STORED])
def stored(request: pytest.FixtureRequest) -> dict[str, Any]:
    path: Path = request.param
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document


def test_the_api_server_takes_it_and_gives_it_back(cluster: Cluster, stored: dict[str, Any]) -> None:
    body = copy.deepcopy(stored)
    body["metadata"]["namespace"] = cluster.namespace
    cluster.kubectl("apply", "--server-side", "--validate=strict", "-f", "-", stdin=body)
    if "status" in body:
        cluster.apply_status(body["metadata"]["name"], body["status"])
    back = cluster.get(body["metadata"]["name"])
    assert contains(back["spec"], body["spec"])
    assert contains(back.get("status", {}), body.get("status", {}))


def test_the_operator_reads_it(stored: dict[str, Any]) -> None:
    body = copy.deepcopy(stored)
    body["metadata"]["namespace"] = "stored"
    account = TradingAccount.parse({**body, "status": {}})
    assert account.spec.exchange.id == body["spec"]["exchange"]["id"]
    status = body.get("status", {})
    assert contains(parse_status(body).dump(), {key: status[key] for key in status if key in ("holds", "watermarks")})


def contains(whole: Any, part: Any) -> bool:
    """Whether everything in `part` is in `whole` too, which may have more."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and contains(whole[key], part[key]) for key in part)
    return bool(whole == part)
