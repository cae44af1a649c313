"""Whether the policy is in force is learned from what the API server refuses, and from nothing else."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
import yaml
from tests.chart.test_admission import BASE, account, merged, planned, plans, stored
from tests.support.controlplane import ControlPlane, ControlPlaneError
from tests.support.fakes import ManualClock
from tests.support.helm import Document, Helm, only
from tests.support.people import allowed, people, policy, who
from tests.support.running import until
from tests.support.stage import Stage, install

from accountsync.api.v1alpha1 import RemediationPlanSpec
from accountsync.controller.approvals import SENTENCE, TRIAL, Approvals
from accountsync.controller.kube import Kube

pytestmark = [pytest.mark.cluster]

POLICIES = "validatingadmissionpolicies,validatingadmissionpolicybindings"
KUBECONFIG = "kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
"""The client read the variable when it was imported."""
MERGE = "application/merge-patch+json"


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane() as running:
        install(running)
        running.kubectl("delete", POLICIES, "--all")
        yield running


@pytest.fixture(scope="module")
def stage(plane: ControlPlane) -> Stage:
    return Stage(plane, "desk", "http://127.0.0.1:1")


@pytest.fixture(autouse=True)
def operator(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connects is the operator."""
    monkeypatch.setattr(KUBECONFIG, str(plane.kubeconfig_for_service_account("accountsync", "accountsync")))


async def why_not(namespace: str = "desk") -> str:
    async with Kube() as kube:
        return await Approvals(kube, ManualClock()).protected(namespace)


@contextmanager
def installed(plane: ControlPlane, documents: Sequence[Document]) -> Iterator[None]:
    plane.kubectl("apply", "--server-side", "--filename=-", input=yaml.safe_dump_all(documents))
    try:
        yield
    finally:
        plane.kubectl("delete", POLICIES, "--all")


def refusal(stage: Stage) -> str:
    """What an administrator of the cluster is told who makes an approved plan."""
    return allowed(stage.api, "POST", plans(stage), planned(stage, approved=True))


def broken(documents: list[Document], expression: str, *, fails: str = "Fail") -> list[Document]:
    """The policy with another expression where it has its first."""
    changed = copy.deepcopy(documents)
    spec = only(changed, "ValidatingAdmissionPolicy")["spec"]
    spec["validations"][0]["expression"] = expression
    spec["failurePolicy"] = fails
    return changed


async def test_without_the_policy_all_that_rbac_lets_through_passes_and_the_operator_says_so(stage: Stage) -> None:
    crowd = people(stage)
    until(lambda: not refusal(stage), "end of what was before")
    path = stored(stage, account(BASE))
    enforce = {"spec": {"remediation": {"mode": "Enforce"}}}
    resume = {"metadata": {"annotations": {"accountsync.dev/resume": "d", "accountsync.dev/resumed-by": "alice"}}}
    for patch in (enforce, resume):
        assert who(crowd, "PATCH", path, patch, MERGE) == {"writer", "editor", "admin"}
    assert who(crowd, "POST", plans(stage), planned(stage, approved=True)) == {"operator"}
    assert "a plan that is born approved would be accepted in namespace desk: install" in await why_not()


async def test_the_policy_in_force_is_seen(plane: ControlPlane, stage: Stage, helm4: Helm) -> None:
    with installed(plane, policy(helm4.template())):
        until(lambda: SENTENCE in refusal(stage), "policy in force")
        assert await why_not() == ""
    until(lambda: not refusal(stage), "end of the policy")
    assert "would be accepted" in await why_not()


async def test_a_binding_for_other_namespaces_protects_those_alone(
    plane: ControlPlane, stage: Stage, helm4: Helm
) -> None:
    other = Stage(plane, "other", "http://127.0.0.1:1")
    documents = policy(helm4.template({"watchNamespaces": ["desk"]}))
    names = {document["metadata"]["name"] for document in documents}
    assert names == {"accountsync-accountsync"}, "releases of one name may be in many namespaces"
    with installed(plane, documents):
        until(lambda: SENTENCE in refusal(stage), "policy in force")
        assert refusal(other) == ""
        assert "would be accepted in namespace other" in await why_not("other")
    until(lambda: not refusal(stage), "end of the policy")


async def test_a_policy_that_does_not_compile_protects_nothing(plane: ControlPlane, stage: Stage, helm4: Helm) -> None:
    documents = broken(policy(helm4.template()), "object.spec.approved =! true")
    binding = only(documents, "ValidatingAdmissionPolicyBinding")
    with installed(plane, [binding]):
        with pytest.raises(ControlPlaneError, match="compilation failed"):
            plane.kubectl("apply", "--server-side", "--filename=-", input=yaml.safe_dump_all(documents))
        assert refusal(stage) == "", "the binding alone binds nothing"
        assert "would be accepted" in await why_not()


@pytest.mark.parametrize(
    ("fails", "words"), [("Fail", "a trial was refused (HTTP 422), and not by it"), ("Ignore", "would be accepted")]
)
async def test_a_policy_that_fails_at_every_request_proves_nothing(
    plane: ControlPlane, stage: Stage, helm4: Helm, fails: str, words: str
) -> None:
    documents = broken(policy(helm4.template()), "object.spec.nothing == true", fails=fails)
    with installed(plane, documents):
        until(lambda: "only the operator" in refusal(stage) or "no such key" in refusal(stage), "policy that fails")
        assert words in await why_not()
    until(lambda: not refusal(stage), "end of the policy")


async def test_an_operator_without_the_right_to_create_plans_knows_nothing(
    plane: ControlPlane, stage: Stage, helm4: Helm, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane.kubectl("create", "serviceaccount", "nobody", "--namespace=desk")
    monkeypatch.setattr(KUBECONFIG, str(plane.kubeconfig_for_service_account("desk", "nobody")))
    with installed(plane, policy(helm4.template())):
        until(lambda: SENTENCE in refusal(stage), "policy in force")
        assert "is unknown: a trial was refused (HTTP 403), and not by it: bind ClusterRole" in await why_not()
    until(lambda: not refusal(stage), "end of the policy")


async def test_a_cluster_without_the_crd_is_not_protected(bare: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KUBECONFIG, str(bare.kubeconfig))
    assert "knows no remediationplans there (HTTP 404): apply the crds/" in await why_not("default")


def test_the_trial_is_a_valid_plan_but_for_being_approved(stage: Stage) -> None:
    assert RemediationPlanSpec.model_validate(TRIAL["spec"]).dry_run
    unapproved = merged(TRIAL, {"spec": {"approved": False}})
    for trial in (TRIAL, unapproved):
        until(lambda trial=trial: not allowed(stage.api, "POST", plans(stage), trial), "trial without a policy")  # type: ignore[misc]
    assert stage.api("GET", plans(stage))["items"] == [], "a trial leaves nothing behind"
