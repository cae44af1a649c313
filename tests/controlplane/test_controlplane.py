"""The control plane that the other tests stand on: what it enforces, and that it goes when its owner goes."""

import os
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.controlplane import ControlPlane, ControlPlaneError, free_port

pytestmark = pytest.mark.cluster

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 30.0
OWNER = """
import time
from tests.support.controlplane import ControlPlane
plane = ControlPlane(audit=False)
plane.start()
print(plane.folder, flush=True)
time.sleep(600)
"""


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def processes_in(folder: Path) -> list[str]:
    table = subprocess.run(["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True).stdout
    return [line for line in table.splitlines() if str(folder) in line]


@pytest.fixture(scope="module")
def service_account(control_plane: ControlPlane) -> Path:
    control_plane.kubectl("create", "namespace", "rbac")
    control_plane.kubectl("create", "serviceaccount", "reader", "--namespace=rbac")
    return control_plane.kubeconfig_for_service_account("rbac", "reader")


def test_a_service_account_may_do_nothing_until_it_is_bound(control_plane: ControlPlane, service_account: Path) -> None:
    with pytest.raises(ControlPlaneError, match=r'Forbidden.*"system:serviceaccount:rbac:reader" cannot list'):
        control_plane.kubectl("get", "secrets", kubeconfig=service_account)

    control_plane.kubectl("create", "role", "read", "--verb=list", "--resource=secrets", "--namespace=rbac")
    control_plane.kubectl(
        "create", "rolebinding", "read", "--role=read", "--serviceaccount=rbac:reader", "--namespace=rbac"
    )
    control_plane.kubectl("create", "secret", "generic", "found", "--namespace=rbac")

    def listed() -> bool:
        return "found" in control_plane.kubectl("get", "secrets", check=False, kubeconfig=service_account)

    eventually(listed)  # the authorizer sees the binding through a watch


def test_a_service_account_token_is_a_real_one(control_plane: ControlPlane, service_account: Path) -> None:
    identity = control_plane.kubectl("auth", "whoami", "--output=yaml", kubeconfig=service_account)

    assert "username: system:serviceaccount:rbac:reader" in identity
    assert "- system:serviceaccounts:rbac" in identity
    assert control_plane.admin_token not in service_account.read_text()


def test_requests_without_a_known_token_are_refused(control_plane: ControlPlane, tmp_path: Path) -> None:
    forged = tmp_path / "kubeconfig"
    forged.write_text(control_plane.kubeconfig.read_text().replace(control_plane.admin_token, "forged"))

    with pytest.raises(ControlPlaneError, match=r"logged in|Unauthorized"):
        control_plane.kubectl("get", "namespaces", kubeconfig=forged)


def test_only_its_own_certificate_authority_vouches_for_it(control_plane: ControlPlane) -> None:
    request = urllib.request.Request(
        f"{control_plane.url}/api", headers={"Authorization": f"Bearer {control_plane.admin_token}"}
    )
    trusting = ssl.create_default_context(cafile=str(control_plane.ca_file))
    with urllib.request.urlopen(request, context=trusting) as response:
        assert response.status == 200

    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(request, context=ssl.create_default_context())


def test_admission_policies_are_enforced(control_plane: ControlPlane) -> None:
    control_plane.kubectl("create", "namespace", "admission")
    control_plane.kubectl("apply", "--filename=-", input=POLICY)

    def refused() -> bool:
        try:
            control_plane.kubectl("create", "configmap", "no", "--namespace=admission", "--dry-run=server")
        except ControlPlaneError as error:
            return "no config maps here" in str(error)
        return False

    eventually(refused)


def test_the_audit_log_tells_who_wrote_what(control_plane: ControlPlane) -> None:
    control_plane.kubectl("create", "namespace", "audited")
    control_plane.kubectl("create", "configmap", "written", "--namespace=audited")

    writes = [
        (event["user"]["username"], event["verb"], event["objectRef"]["resource"])
        for event in control_plane.audit_events()
        if event.get("objectRef", {}).get("namespace") == "audited" and event["verb"] not in {"get", "list", "watch"}
    ]

    assert ("admin", "create", "configmaps") in writes


def test_its_environment_leads_any_client_to_it(control_plane: ControlPlane) -> None:
    printed = subprocess.run(
        ["kubectl", "version", "--output=yaml"],
        env={"HOME": os.environ["HOME"], **control_plane.env()},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    client, _, server = printed.partition("serverVersion")
    assert "gitVersion: v1." in client
    assert "gitVersion: v1." in server


def test_a_killed_owner_leaves_no_process_and_no_folder() -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        running = processes_in(folder)
        owner.kill()

    assert len(running) == 4  # two programs, and a guard for each
    eventually(lambda: not processes_in(folder) and not folder.exists())


def test_stop_waits_until_all_is_gone() -> None:
    plane = ControlPlane(audit=False)
    with plane:
        assert processes_in(plane.folder)

    assert not processes_in(plane.folder)
    assert not plane.folder.exists()


def test_a_broken_start_says_why_and_leaves_nothing() -> None:
    plane = ControlPlane(apiserver_arguments=["--authorization-mode=Astrology"])

    with pytest.raises(ControlPlaneError, match=r"kube-apiserver ended with status 1:[\s\S]*Astrology"):
        plane.start()

    assert not processes_in(plane.folder)
    assert not plane.folder.exists()


def test_a_port_that_was_taken_meanwhile_is_given_up(control_plane: ControlPlane) -> None:
    taken = int(control_plane.url.rpartition(":")[2])
    ports = iter([taken, free_port()])

    with ControlPlane(audit=False, ports=lambda: next(ports)) as plane:
        assert plane.url != control_plane.url
        assert "kube-system" in plane.kubectl("get", "namespaces")


POLICY = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: no-config-maps
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}
  validations:
  - {expression: "false", message: no config maps here}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: no-config-maps
spec:
  policyName: no-config-maps
  validationActions: [Deny]
  matchResources:
    namespaceSelector:
      matchLabels: {kubernetes.io/metadata.name: admission}
"""
