"""People with one of the chart's roles each, by tokens of ServiceAccounts, and what the API server lets them do."""

from collections.abc import Mapping

from tests.support.controlplane import ControlPlane
from tests.support.helm import Document
from tests.support.running import until
from tests.support.stage import Api, ApiError, Body, Stage

APPLY = "application/apply-patch+yaml"
WRITER = {
    "metadata": {"name": "writer"},
    "rules": [
        {
            "apiGroups": ["accountsync.dev"],
            "resources": ["tradingaccounts"],
            "verbs": ["get", "create", "update", "patch"],
        }
    ],
}
"""Somebody as RBAC alone knows them: may write accounts, and has none of the verbs that the policy asks for."""
ROLES = {"viewer": "view", "editor": "edit", "admin": "admin", "approver": "approver"}


class Person(Api):
    """The API server as one ServiceAccount finds it; where none is named, as the operator does."""

    def __init__(self, plane: ControlPlane, namespace: str = "accountsync", name: str = "accountsync") -> None:
        super().__init__(plane)
        self.user = f"system:serviceaccount:{namespace}:{name}"
        self._token = plane.kubectl("create", "token", name, f"--namespace={namespace}").strip()


def policy(documents: list[Document]) -> list[Document]:
    """What of a rendered chart is the policy."""
    return [each for each in documents if each["kind"].startswith("ValidatingAdmissionPolicy")]


def people(stage: Stage) -> dict[str, Person]:
    """A viewer, a writer, an editor, an admin and an approver of the stage's namespace, and the operator."""
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{stage.namespace}"
    stage.api("POST", f"{rbac}/roles", WRITER)
    kinds = {name: ("ClusterRole", f"accountsync-{role}") for name, role in ROLES.items()} | {
        "writer": ("Role", "writer")
    }
    for name, (kind, role) in kinds.items():
        stage.api("POST", f"/api/v1/namespaces/{stage.namespace}/serviceaccounts", {"metadata": {"name": name}})
        binding = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": stage.namespace}],
        }
        stage.api("POST", f"{rbac}/rolebindings", binding)
    found = {name: Person(stage.plane, stage.namespace, name) for name in kinds}
    found["operator"] = Person(stage.plane)
    plans = stage.accounts.replace("tradingaccounts", "remediationplans")
    for name, person in found.items():
        path = f"{plans if name == 'approver' else stage.accounts}/nobody"
        until(lambda path=path, person=person: "HTTP 404" in allowed(person, "GET", path, None), f"rights of {name}")  # type: ignore[misc]
    return found


def allowed(person: Api, method: str, path: str, body: Body | None, content_type: str = "application/json") -> str:
    """Empty: the API server would let this person do it. Else what it says. Nothing is changed."""
    dry = "" if method == "GET" else f"{'&' if '?' in path else '?'}dryRun=All"
    try:
        person(method, path + dry, body, APPLY if content_type == "apply" else content_type)
    except ApiError as error:
        return str(error)
    return ""


def who(
    crowd: Mapping[str, Api], method: str, path: str, body: Body | None, content_type: str = "application/json"
) -> set[str]:
    """Who of them may. A refusal that is none of authorization or the policy fails the test."""
    answers = {name: allowed(person, method, path, body, content_type) for name, person in crowd.items()}
    assert all(not said or "HTTP 403" in said for said in answers.values()), answers
    return {name for name, said in answers.items() if not said}
