"""kube-score has nothing to say against the hardened rendering, but for what is decided otherwise, here."""

import json
import subprocess

import pytest
import yaml
from tests.support import tools
from tests.support.helm import Document, Helm

pytestmark = pytest.mark.lint

HARDENED = {"networkPolicy": {"enabled": True}, "podDisruptionBudget": {"enabled": True}}
OTHERWISE = {
    "container-resources": "no CPU limit: throttling makes cycles late, and a late cycle is an Unknown",
    "container-resource-requests-equal-limits": "the same; and memory may grow with the accounts up to its limit",
    "container-cpu-requests-equal-limits": "the same",
    "container-memory-requests-equal-limits": "the same",
    "container-ephemeral-storage-request-and-limit": "the root is read-only, and each emptyDir has a sizeLimit of its"
    " own, which follows evidence.maxBytes; a second limit would have to be kept in step with it",
    "container-image-pull-policy": "a tag is one version for ever; who doubts it sets image.digest",
    "deployment-replicas": "one is enough for thousands of accounts, and its restart stops no bot",
}
FINE = 10


def complaints(documents: list[Document]) -> dict[str, list[str]]:
    """By check: the objects against which kube-score has something."""
    command = [str(tools.find("kube-score") / "kube-score"), "score", "-", "--output-format=json"]
    options = ["--kubernetes-version=v1.31", "--all-default-optional"]
    text = yaml.safe_dump_all(documents)
    ran = subprocess.run([*command, *options], input=text, capture_output=True, text=True, check=False)
    found: dict[str, list[str]] = {}
    for scored in json.loads(ran.stdout):
        for check in scored["checks"]:
            if not check["skipped"] and check["grade"] < FINE:
                found.setdefault(check["check"]["id"], []).append(scored["object_name"])
    return found


def test_kube_score_objects_only_to_what_is_decided_otherwise(helm4: Helm) -> None:
    assert set(complaints(helm4.template(HARDENED))) == set(OTHERWISE)


@pytest.mark.parametrize(
    ("values", "check"),
    [
        ({"securityContext": {"readOnlyRootFilesystem": False}}, "container-security-context-readonlyrootfilesystem"),
        ({"networkPolicy": {"enabled": False}}, "pod-networkpolicy"),
    ],
)
def test_kube_score_would_notice_what_is_weakened(helm4: Helm, values: Document, check: str) -> None:
    assert check in complaints(helm4.template({**HARDENED, **values}))
