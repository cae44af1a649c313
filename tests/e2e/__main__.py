"""The end-to-end suite: `python -m tests.e2e`. Exit status 0 only if every step saw what it should.

The cluster is, in this order: the one of KUBECONFIG, if that is set (IMAGE then names what its nodes can pull); kind,
where Docker answers and kind is installed; else a node of this machine's own (see tests/support/node.py), as root.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.e2e.cluster import Cluster, CommandError, Document
from tests.e2e.manifests import SYSTEM, TRADING
from tests.e2e.report import Report
from tests.e2e.steps import CRDS, RELEASE, STEPS, Story, UnexpectedError
from tests.support import assets, node, node_images, node_namespace, tools
from tests.support.cache import AssetsError
from tests.support.controlplane import ControlPlaneError
from tests.support.helm import Helm, HelmError
from tests.support.progress import say
from tests.support.running import ROOT, Program

from accountsync import __version__

TAG = "localhost/accountsync:e2e"
KIND = "accountsync-e2e"
FAILURES = (
    *(UnexpectedError, CommandError, HelmError, TimeoutError, ControlPlaneError, AssetsError, node_images.ImageError),
    *(subprocess.SubprocessError, KeyError, StopIteration),
)


def main() -> None:
    """Choose the cluster, and run the steps on it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    try:
        if options.inside:
            passed = on_a_node(options.inside)
        elif os.environ.get("KUBECONFIG"):
            passed = on_a_given_cluster()
        elif _docker() and shutil.which("kind"):
            passed = on_kind()
        else:
            sys.exit(around_a_node())
    except KeyboardInterrupt:
        sys.exit(130)
    except FAILURES as error:
        sys.exit(f"accountsync: {type(error).__name__}: {error}")
    sys.exit(0 if passed else 1)


def around_a_node() -> int:
    """Build the image while there is a network, and then run this program on a node, where there is none."""
    if problems := list(dict.fromkeys((*node.problems(), *node_images.problems()))):
        sys.exit("\n".join(f"accountsync: {problem}" for problem in problems))
    node.fetch()
    tools.find("helm3")
    folder = node_namespace.make_folder()
    try:
        images = node_images.Images()
        say("building the image")
        images.build(TAG, _labels())
        images.save(TAG, folder / "image.tar")
        images.save_pause(folder / "pause.tar")
        built = images.inspect(TAG)
        (folder / "built.json").write_text(json.dumps(built))
        _check_labels(built["labels"])
        say(f"the image: {built['size']}, {built['id']}")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return node_namespace.run([sys.executable, "-m", "tests.e2e", "--inside", str(folder)], folder)


def on_a_node(folder: Path) -> bool:
    """The suite on a node of its own, inside of its namespaces."""
    say("starting the node")
    built: Document = json.loads((folder / "built.json").read_text())
    with node.Node([folder / "pause.tar", folder / "image.tar"]) as own:
        for name in ("pause.tar", "image.tar"):
            (folder / name).unlink()
        say("the node is ready")
        cluster = Cluster(
            what="a node of its own",
            kubeconfig=own.plane.kubeconfig,
            kubectl_program=own.plane.programs.kubectl,
            helm=Helm(3, folder / "helm"),
            image=TAG,
            pull_policy="Never",
            image_id=built["id"],
        )
        passed = run(cluster)
        if not passed:
            for name in ("kubelet", "containerd"):
                print(f"\n── the end of {name}'s log\n{own.log(name, 25)}", flush=True)
        return passed


def on_kind() -> bool:
    """The suite on a kind cluster, which is deleted afterwards."""
    labels = [f"--build-arg={name}={value}" for name, value in _labels().items()]
    subprocess.run(["docker", "build", f"--tag={TAG}", *labels, "."], check=True, cwd=ROOT)
    with tempfile.TemporaryDirectory(prefix="accountsync-e2e-") as name:
        folder = Path(name)
        kubeconfig = folder / "kubeconfig"
        create = ["kind", "create", "cluster", f"--name={KIND}", f"--kubeconfig={kubeconfig}", "--wait=180s"]
        try:
            subprocess.run(create, check=True)
            subprocess.run(["kind", "load", "docker-image", TAG, f"--name={KIND}"], check=True)
            return run(_cluster("kind", kubeconfig, folder, TAG, "Never"))
        finally:
            subprocess.run(["kind", "delete", "cluster", f"--name={KIND}"], check=False)


def on_a_given_cluster() -> bool:
    """The suite on somebody's cluster: only where it finds nothing of ours, and it removes what it made."""
    image = os.environ.get("IMAGE", "")
    if ":" not in image.rpartition("/")[2]:
        sys.exit("accountsync: set IMAGE to the image, with its tag, that the cluster of KUBECONFIG can pull")
    with tempfile.TemporaryDirectory(prefix="accountsync-e2e-") as name:
        cluster = _cluster(
            "the cluster of KUBECONFIG", Path(os.environ["KUBECONFIG"]), Path(name), image, "IfNotPresent"
        )
        ours = (*(f"crd/{name}" for name in CRDS), f"ns/{SYSTEM}", f"ns/{TRADING}")
        taken = cluster.kubectl("get", *ours, "--ignore-not-found", "-o", "name")
        if taken:
            sys.exit(f"accountsync: the cluster has {', '.join(taken.split())} already: the suite needs one without")
        try:
            return run(cluster)
        finally:
            with contextlib.suppress(HelmError):  # it may never have been installed
                cluster.helm("uninstall", RELEASE, "-n", SYSTEM, kubeconfig=cluster.kubeconfig)
            cluster.kubectl("delete", "namespace", TRADING, SYSTEM, "--ignore-not-found", check=False)
            cluster.kubectl("delete", "crd", *CRDS, "--ignore-not-found", check=False)


def run(cluster: Cluster) -> bool:
    """Every step, or as many as pass; then the table."""
    report = Report()
    with tempfile.TemporaryDirectory() as folder, _bot(cluster, Path(folder) / "belief.json") as start_bot:
        story = Story(cluster, start_bot)
        try:
            for function in STEPS:
                title = (function.__doc__ or function.__name__).strip()
                with report.step(title) as step:
                    function(story, step)
        except FAILURES as error:
            print(f"\nFAILED: {type(error).__name__}: {error}", flush=True)
            diagnose(cluster)
    passed = len(report.steps) == len(STEPS) and all(step.result == "ok" for step in report.steps)
    print(f"\nOn {cluster.what}, image {cluster.image}:\n{report.table()}", flush=True)
    return passed


@contextlib.contextmanager
def _bot(cluster: Cluster, belief: Path) -> Iterator["Bot"]:
    bot = Bot(cluster, belief)
    try:
        yield bot
    finally:
        bot.stop()


class Bot:
    """Publishes a belief every two seconds from the first call on; a later call changes what it believes."""

    def __init__(self, cluster: Cluster, belief: Path) -> None:
        self._cluster = cluster
        self._belief = belief
        self._program: Program | None = None

    def __call__(self, belief: Document) -> None:
        fresh = self._belief.with_suffix(".new")
        fresh.write_text(json.dumps(belief))
        fresh.replace(self._belief)
        if self._program is None:
            script = [sys.executable, str(ROOT / "examples" / "bot.py"), str(self._belief)]
            kubectl = f"--kubectl={self._cluster.kubectl_program}"
            self._program = Program([*script, f"--namespace={TRADING}", kubectl], self._cluster.env())
            self._program.__enter__()

    def stop(self) -> None:
        if self._program is not None:
            self._program.__exit__(None, None, None)


def diagnose(cluster: Cluster) -> None:
    """What a person would ask for next."""
    for namespace in (SYSTEM, TRADING):
        for command in (
            ("get", "all,leases,tradingaccounts,remediationplans"),
            ("describe", "pods"),
            ("logs", "--selector=app.kubernetes.io/name=accountsync", "--tail=60"),
            ("logs", "--selector=app.kubernetes.io/name=accountsync", "--tail=60", "--previous"),
            ("get", "events", "--sort-by=.lastTimestamp"),
            ("get", "tradingaccounts", "-o", "yaml"),
        ):
            with contextlib.suppress(subprocess.TimeoutExpired):
                said = cluster.kubectl(*command, "-n", namespace, check=False).rstrip()
                print(f"\n$ kubectl {' '.join(command)} -n {namespace}\n{said}", flush=True)


def _cluster(what: str, kubeconfig: Path, folder: Path, image: str, pull_policy: str) -> Cluster:
    kubectl = Path(shutil.which("kubectl") or assets.find().kubectl)
    return Cluster(what, kubeconfig, kubectl, Helm(3, folder / "helm"), image, pull_policy)


def _docker() -> bool:
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def _labels() -> Mapping[str, str]:
    asked = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, cwd=ROOT)
    return {"VERSION": __version__, "REVISION": asked.stdout.strip() or "unknown"}


def _check_labels(found: Mapping[str, str]) -> None:
    for name, value in _labels().items():
        if found.get(f"org.opencontainers.image.{name.lower()}") != value:
            raise UnexpectedError(f"the image's label {name.lower()} is not {value}: {found}")


if __name__ == "__main__":
    main()
