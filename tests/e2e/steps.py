"""The suite: a function a step, in the order of `STEPS`. Whatever is not as told raises."""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from tests.e2e import manifests
from tests.e2e.cluster import Cluster, CommandError, Document
from tests.e2e.manifests import DORMANT, NAME, SYSTEM, TRADING
from tests.e2e.report import Step
from tests.support.helm import CHART
from tests.support.running import until

RELEASE = "accountsync"
CRDS = "tradingaccounts.accountsync.dev", "remediationplans.accountsync.dev"
OPERATOR = ("-n", SYSTEM, "-l", "app.kubernetes.io/component=operator")
PATIENCE = 90.0
ACT = """
import sys, urllib.request
method, path, body = sys.argv[1:]
url = "http://127.0.0.1:{port}/control/" + path
with urllib.request.urlopen(urllib.request.Request(url, body.encode() or None, method=method), timeout=10) as answer:
    print(answer.read().decode())
"""
WATCH = ("get", "ta", NAME, "-n", TRADING, "--watch", "-o", 'jsonpath={.status.paused} {.status.pausedBy}{"\\n"}')
LOOK = """
import importlib.util, json, os, shutil
ticks = int(open("/proc/1/stat").read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
boot = next(int(line.split()[1]) for line in open("/proc/stat") if line.startswith("btime"))
status = dict(line.split(":", 1) for line in open("/proc/1/status"))
print(json.dumps({"began": boot + ticks, "rss": int(status["VmRSS"].split()[0]) / 1024, "uid": status["Uid"].split()[0],
    "capabilities": status["CapEff"].strip(), "may write": os.access("/opt/accountsync", os.W_OK),
    "tools": [name for name in ("pip", "cc", "gcc", "make") if shutil.which(name) or importlib.util.find_spec(name)]}))
"""


class UnexpectedError(Exception):
    """The cluster did not show what a step of the suite should."""


class Story:
    """What the steps hand on to each other."""

    def __init__(self, cluster: Cluster, bot: Callable[[Document], None]) -> None:
        self.cluster = cluster
        self.start_bot = bot
        self.endpoint = ""
        self.before: Document = {}
        self.requests = 0
        self.replicas = 1
        self.logged: dict[str, int] = {}

    def account(self, name: str = NAME) -> Document:
        return self.cluster.get("tradingaccounts", name, "-n", TRADING)

    def table(self, step: Step) -> None:
        step.saw(self.cluster.kubectl("get", "tradingaccounts", "-n", TRADING).rstrip())

    def await_status(self, what: str, holds: Callable[[Document], object], patience: float = PATIENCE) -> Document:
        def fits() -> Document | None:
            status = self.account().get("status", {})
            return status if holds(status) else None

        return until(fits, what, patience)

    def await_cycle(self, what: str) -> Document:
        """A cycle that begins after this moment, done."""
        self.requests += 1
        mark = f"e2e-{self.requests}"
        annotation = f"accountsync.dev/requestedAt={mark}"
        self.cluster.kubectl("annotate", "--overwrite", "ta", NAME, "-n", TRADING, annotation)
        return self.await_status(f"cycle {what}", lambda status: status.get("lastHandledReconcileAt") == mark)

    def act(self, method: str, path: str, body: object = None) -> Any:
        """On the exchange, through its control interface, which only its own pod reaches."""
        text = "" if body is None else json.dumps(body)
        script = ACT.replace("{port}", str(manifests.CONTROL))
        answer = self.cluster.kubectl(
            "exec", "exchange", "-n", TRADING, "--", "python", "-c", script, method, path, text
        )
        return json.loads(answer)

    def operators(self) -> dict[str, Document]:
        """Its pods, by name."""
        pods = self.cluster.get("pods", *OPERATOR)["items"]
        return {pod["metadata"]["name"]: pod for pod in pods if not _going(pod)}

    def operator(self) -> Document:
        """Its only pod."""
        pods = list(self.operators().values())
        expect(len(pods) == 1, f"{len(pods)} operators")
        return pods[0]

    def await_owner(self, name: str, pods: Collection[str]) -> Document:
        """One of these pods owns the account; who, and in which epoch."""

        def owned() -> Document | None:
            owner: Document = self.account(name).get("status", {}).get("owner", {})
            return owner if owner.get("holder") in pods else None

        return until(owned, f"owner of {name} among {', '.join(sorted(pods))}", PATIENCE)

    def scale(self, replicas: int) -> None:
        """Have so many operators, each ready."""
        self.replicas = replicas
        self.helm("upgrade", RELEASE, CHART, "--wait", "--timeout=3m", values=self.values())
        until(lambda: len(self.operators()) == replicas, f"{replicas} operators", PATIENCE)

    def look(self) -> Document:
        """At the operator's process: memory in MiB, user, capabilities, when it began."""
        name = self.operator()["metadata"]["name"]
        seen: Document = json.loads(self.cluster.kubectl("exec", name, "-n", SYSTEM, "--", "python", "-c", LOOK))
        return seen

    def seconds_to_ready(self) -> float:
        """From the first instruction of the container's process to the line that it writes once /readyz says ok."""
        log = self.cluster.kubectl("logs", self.operator()["metadata"]["name"], "-n", SYSTEM)
        started = next(json.loads(line) for line in log.splitlines() if '"operator started"' in line)
        return datetime.fromisoformat(started["timestamp"]).timestamp() - float(self.look()["began"])

    def check_log(self) -> int:
        """How many lines the operators have logged; none of them may be an error, and none may have been restarted."""
        for name, pod in self.operators().items():
            expect(pod["status"]["containerStatuses"][0]["restartCount"] == 0, f"{name} was restarted")
            log = self.cluster.kubectl("logs", name, "-n", SYSTEM)
            rows = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
            bad = (row for row in rows if row.get("level") in {"error", "critical"})
            errors = [row for row in bad if "; will retry: " not in row["event"]]  # kopf's word for what it repeats
            expect(not errors, f"{name} logged errors: {errors[:3]}")
            expect(len(rows) == len(log.splitlines()), f"{name} logged lines that are not JSON")
            self.logged[name] = len(rows)
        return sum(self.logged.values())

    def helm(self, *arguments: str | Path, values: object = None) -> str:
        return self.cluster.helm(*arguments, "-n", SYSTEM, kubeconfig=self.cluster.kubeconfig, values=values)

    def values(self) -> Document:
        return {
            **manifests.values(self.cluster.image, self.cluster.pull_policy, self.endpoint),
            "replicas": self.replicas,
        }


def expect(fact: object, otherwise: str) -> None:
    if not fact:
        raise UnexpectedError(otherwise)


def expect_unchanged(before: Document, after: Document, watched: list[str]) -> None:
    """Nothing of two statuses differs that a takeover could lose, and the watch saw the bot held all the time."""
    expect(_holds(after) == _holds(before), f"holds were {_holds(before)} and are {_holds(after)}")
    expect(_findings(after) == _findings(before), "the findings are not the same as before")
    expect(set(watched) == {f"true {after['pausedBy']}\n"}, f"it was not held throughout: {watched}")
    expect(after["history"] == before["history"], "its history has changed")


def namespaces_are_restricted(story: Story, step: Step) -> None:
    """Two restricted namespaces; a privileged pod is refused"""
    story.cluster.kubectl("apply", "-f", "-", stdin=[manifests.namespace(name) for name in (SYSTEM, TRADING)])
    try:
        story.cluster.kubectl("apply", "-f", "-", stdin=manifests.privileged_pod(story.cluster.image))
    except CommandError as error:
        expect("violates PodSecurity" in str(error), f"refused for another reason: {error}")
        words = str(error).rpartition("is forbidden: ")[2]
        step.saw(f"{words.partition(': ')[0]}, it says, and lists {words.count('=')} reasons")
        return
    raise UnexpectedError("a privileged pod was let into a restricted namespace")


def exchange_runs(story: Story, step: Step) -> None:
    """The simulated exchange as a pod"""
    cluster = story.cluster
    cluster.kubectl("apply", "-f", "-", stdin=manifests.exchange(cluster.image, cluster.pull_policy))
    cluster.kubectl("wait", "pod/exchange", "-n", TRADING, "--for=condition=Ready", "--timeout=120s")
    address = cluster.get("service", "exchange", "-n", TRADING)["spec"]["clusterIP"]
    story.endpoint = f"http://{address}:{manifests.EXCHANGE}"
    step.saw(f"{story.endpoint} holds {story.act('GET', 'accounts')}")


def chart_installs(story: Story, step: Step) -> None:
    """helm install --wait"""
    story.helm("install", RELEASE, CHART, "--wait", "--timeout=3m", values=story.values())
    pod = story.operator()
    container = pod["status"]["containerStatuses"][0]
    image_id = container["imageID"]
    expect(image_id.endswith(story.cluster.image_id), f"it runs {image_id}, not {story.cluster.image_id}")
    look = story.look()
    expect(look["uid"] == "65532", f"it runs as user {look['uid']}")
    expect(int(look["capabilities"], 16) == 0, f"it has the capabilities {look['capabilities']}")
    expect(not look["may write"], "it may write to its own program")
    expect(not look["tools"], f"its image has {look['tools']}")
    times = {row["type"]: row["lastTransitionTime"] for row in pod["status"]["conditions"]}
    ready = story.seconds_to_ready()
    step.saw(f"ready {ready:.1f} s after its start; {look['rss']:.0f} MiB resident without accounts")
    step.saw(f"pod {pod['metadata']['name']}, user 65532, no capabilities, image {image_id}")
    began = container["state"]["running"]["startedAt"]
    step.saw(f"scheduled {times['PodScheduled']}, started {began}, Ready {times['Ready']}")


def account_is_in_sync(story: Story, step: Step) -> None:
    """Secret, account and belief: InSync"""
    story.cluster.kubectl("apply", "-f", "-", stdin=manifests.account(story.endpoint))
    story.start_bot(manifests.BELIEF)
    story.await_status("account in sync and free to trade", lambda s: s.get("sync") == "InSync" and not s.get("paused"))
    story.await_cycle("in-sync")
    step.saw(f"InSync, not paused; {story.look()['rss']:.0f} MiB resident with one account")
    story.table(step)


def drift_pauses(story: Story, step: Step) -> None:
    """Drift: findings, Policy hold, status.paused"""
    order = {"symbol": "BTCUSDT", "side": "SELL", "price": "64000", "quantity": "0.2", "client_order_id": "web_1"}
    story.act("POST", f"accounts/{NAME}/orders", order)
    story.act("POST", f"accounts/{NAME}/positions", {"symbol": "BTCUSDT", "amount": "0.8", "entry_price": "60000"})

    def found(status: Document) -> bool:
        rules = {finding["rule"] for finding in status.get("findings", {}).get("items", ())}
        held = status.get("paused") and "Policy" in status.get("pausedBy", "")
        return bool(held) and status["sync"] == "OutOfSync" and {"UnexpectedOrder", "PositionMismatch"} <= rules

    story.before = story.await_status("OutOfSync account, both findings and a Policy hold", found)
    rules = sorted(finding["rule"] for finding in story.before["findings"]["items"])
    step.saw(f"OutOfSync, paused by {story.before['pausedBy']}: {', '.join(rules)}")
    story.table(step)
    for finding in story.before["findings"]["items"]:
        step.saw(f"{finding['severity']} {finding['rule']}: {finding['message']}")


def evidence_is_kept(story: Story, step: Step) -> None:
    """Evidence is written, and verifies"""
    name = story.operator()["metadata"]["name"]

    def verified() -> str | None:
        where = "/artifacts/account_sync"
        said = story.cluster.kubectl(
            "exec", name, "-n", SYSTEM, "--", "accountsync", "evidence", "verify", where, check=False
        )
        return said if "nothing was changed" in said else None

    step.saw(until(verified, "verified evidence", PATIENCE).strip())


def new_pod_takes_over(story: Story, step: Step) -> None:
    """Operator killed in mid-cycle: the next one keeps the hold"""
    story.before = story.await_cycle("before-the-kill")
    old = story.operator()["metadata"]["name"]
    story.check_log()
    hang = {"kind": "hang", "path": "/fapi/v1/openOrders", "account": NAME}
    story.act("POST", "faults", hang)
    until(lambda: any(row["applied"] for row in story.act("GET", "faults")), "cycle that hangs", PATIENCE)
    with story.cluster.follow(*WATCH) as followed:
        until(lambda: followed.lines, "first line of the watch", PATIENCE)
        story.cluster.kubectl("delete", "pod", old, "-n", SYSTEM, "--force", "--grace-period=0")
        story.act("DELETE", "faults")
        until(lambda: _ready_operators(story) - {old}, "new operator", PATIENCE)
        after = story.await_cycle("after-the-kill")
    expect_unchanged(story.before, after, followed.lines)
    new = story.operator()["metadata"]["name"]
    step.saw(f"{old} → {new}: ready after {story.seconds_to_ready():.1f} s, same hold, findings and history")


def replicas_share(story: Story, step: Step) -> None:
    """Two replicas, one owner; its pod deleted: another one owns"""
    story.scale(2)
    pods = story.operators()
    owners = {name: story.await_owner(name, pods) for name in (NAME, DORMANT)}
    leases = story.cluster.get("leases", "-n", SYSTEM, "-l", "accountsync.dev/replica=true")["items"]
    expect({lease["spec"]["holderIdentity"] for lease in leases} >= set(pods), "a pod has no Lease")
    story.before = story.await_cycle("of-two")
    whose = ", ".join(f"{owner['holder']} has {name}" for name, owner in owners.items())
    step.saw(f"{' and '.join(pods)} are Ready; {whose}")
    story.check_log()
    before = story.account()["status"]["owner"]
    with story.cluster.follow(*WATCH) as followed:
        until(lambda: followed.lines, "first line of the watch", PATIENCE)
        began = time.monotonic()
        story.cluster.kubectl("delete", "pod", before["holder"], "-n", SYSTEM, "--force", "--grace-period=0")
        until(lambda: story.account()["status"]["owner"]["holder"] != before["holder"], "new owner", PATIENCE)
        seconds = time.monotonic() - began
        status = story.await_cycle("of-the-new-owner")
    expect(status["owner"]["epoch"] > before["epoch"], f"from {before} to {status['owner']}: no higher epoch")
    expect_unchanged(story.before, status, followed.lines)
    epochs = f"epoch {before['epoch']} → {status['owner']['epoch']}"
    step.saw(
        f"{before['holder']} → {status['owner']['holder']} after {seconds:.0f} s, {epochs}, same hold and findings"
    )
    until(lambda: len(_ready_operators(story)) == story.replicas, "second replica again", PATIENCE)
    story.check_log()
    story.scale(1)
    for name in (NAME, DORMANT):
        story.await_owner(name, story.operators())


def repaired_and_resumed(story: Story, step: Step) -> None:
    """Repaired, then resumed by digest"""
    order = {"clientId": "web_1", "symbol": "BTCUSDT", "side": "sell", "price": "64000", "quantity": "0.2"}
    positions = [{"symbol": "BTCUSDT", "quantity": "0.8"}]
    orders = [*manifests.BELIEF["orders"], order]
    story.start_bot({**manifests.BELIEF, "positions": positions, "orders": orders})
    held = story.await_status("account in sync, still held", lambda s: s.get("sync") == "InSync" and s.get("paused"))
    digest = next(hold["digest"] for hold in held["holds"] if hold["source"] == "Policy")
    me = story.cluster.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    notes = f"accountsync.dev/resume={digest}", f"accountsync.dev/resumed-by={me}"
    story.cluster.kubectl("annotate", "--overwrite", "ta", NAME, "-n", TRADING, *notes)
    story.await_status("account free to trade", lambda s: s.get("sync") == "InSync" and not s.get("paused"))
    step.saw("InSync and held, then resumed with the digest of the hold")
    for entry in story.account()["status"]["history"]:
        step.saw(f"{entry['time']} {entry['who']}: {entry['what']} ({entry.get('why', '')})")


def fire_drill_passes(story: Story, step: Step) -> None:
    """helm test: the fire drill in the cluster"""
    story.helm("test", RELEASE, "--timeout=3m")
    log = story.cluster.kubectl("logs", f"{RELEASE}-drill", "-n", SYSTEM).splitlines()
    step.saw(next(line.strip("= ") for line in log if "Results:" in line))
    step.saw("\n".join(log[-6:]))


def crd_upgrades(story: Story, step: Step) -> None:
    """helm upgrade with a changed CRD: accounts untouched"""
    before = {name: story.account(name) for name in (NAME, DORMANT)}
    with tempfile.TemporaryDirectory() as folder:
        chart = Path(folder) / "accountsync"
        shutil.copytree(CHART, chart)
        path = next((chart / "files" / "crds").glob("*_tradingaccounts.yaml"))
        crd = yaml.safe_load(path.read_text())
        version = crd["spec"]["versions"][0]
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        spec["properties"]["upgradeNote"] = {"type": "string", "maxLength": 64, "description": "Only of this test."}
        version["additionalPrinterColumns"].append({"name": "Note", "type": "string", "jsonPath": ".spec.upgradeNote"})
        path.write_text(yaml.safe_dump(crd))
        story.helm("upgrade", RELEASE, chart, "--wait", "--timeout=3m", values=story.values())

    def explained() -> bool:
        return "Only of this test." in story.cluster.kubectl("explain", "ta.spec.upgradeNote", check=False)

    until(explained, "new field in kubectl explain", PATIENCE)
    after = {name: story.account(name) for name in (NAME, DORMANT)}
    for name, row in before.items():
        for field in ("uid", "generation", "creationTimestamp"):
            expect(after[name]["metadata"][field] == row["metadata"][field], f"{name}: another {field}")
        expect(after[name]["spec"] == row["spec"], f"{name}: another spec")
    versions = [rows[DORMANT]["metadata"]["resourceVersion"] for rows in (before, after)]
    expect(versions[0] == versions[1], f"{DORMANT} was written: resourceVersion {versions}")
    patch = json.dumps({"spec": {"upgradeNote": "new"}})
    story.cluster.kubectl("patch", "ta", DORMANT, "-n", TRADING, "--type=merge", "-p", patch)
    step.saw(f"same uid, generation and spec; {DORMANT} still has resourceVersion {versions[0]}; new field served")
    until(lambda: "NOTE" in story.cluster.kubectl("get", "ta", "-n", TRADING), "new column", PATIENCE)
    story.table(step)
    story.await_cycle("after-the-upgrade")


def accounts_outlive_the_release(story: Story, step: Step) -> None:
    """helm uninstall keeps accounts; install again works"""
    before = {name: story.account(name)["metadata"]["uid"] for name in (NAME, DORMANT)}
    story.check_log()
    story.helm("uninstall", RELEASE, "--wait", "--timeout=3m")
    until(lambda: not story.cluster.get("pods", *OPERATOR)["items"], "end of the operator's pod", PATIENCE)
    story.cluster.get("crd", *CRDS)
    expect({name: story.account(name)["metadata"]["uid"] for name in before} == before, "accounts were replaced")
    history = story.account()["status"]["history"]
    story.helm("install", RELEASE, CHART, "--wait", "--timeout=3m", values=story.values())
    status = story.await_cycle("second-release")
    expect(status["sync"] == "InSync", f"it is {status['sync']}")
    expect(not status.get("paused"), f"it is paused by {status.get('pausedBy')}")
    expect(status["history"] == history, "its history has changed")
    step.saw("CRD and both accounts were kept; the second release finds them InSync, with their history")


def nothing_went_wrong_unseen(story: Story, step: Step) -> None:
    """No restarts, and no error logged by any of the operators"""
    lines = story.check_log()
    exchange = story.cluster.get("pod", "exchange", "-n", TRADING)
    expect(exchange["status"]["containerStatuses"][0]["restartCount"] == 0, "the exchange was restarted")
    step.saw(f"{lines} lines, each JSON, none an error; {story.look()['rss']:.0f} MiB resident")


STEPS: tuple[Callable[[Story, Step], None], ...] = (
    namespaces_are_restricted,
    exchange_runs,
    chart_installs,
    account_is_in_sync,
    drift_pauses,
    evidence_is_kept,
    new_pod_takes_over,
    replicas_share,
    repaired_and_resumed,
    fire_drill_passes,
    crd_upgrades,
    accounts_outlive_the_release,
    nothing_went_wrong_unseen,
)


def _going(pod: Document) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _ready_operators(story: Story) -> set[str]:
    return {
        name
        for name, pod in story.operators().items()
        if ("Ready", "True") in {(row["type"], row["status"]) for row in pod["status"].get("conditions", ())}
    }


def _holds(status: Document) -> list[tuple[str, ...]]:
    return [(hold["source"], hold["since"], hold.get("digest", "")) for hold in status["holds"]]


def _findings(status: Document) -> list[tuple[str, ...]]:
    return sorted((row["rule"], row["symbol"], row["firstSeen"]) for row in status["findings"]["items"])
