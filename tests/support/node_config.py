"""What the programs of a node are told, as text; `folder` is the run's own, and holds all that they write."""

import json
from pathlib import Path

import yaml

NAME = "node"
BRIDGE = "accountsync0"
ADDRESS = "10.244.0.1"
PODS = "10.244.0.0/24"
PAUSE = "localhost/accountsync-pause:e2e"


def containerd(folder: Path, plugins: Path) -> str:
    """containerd 1.6 or newer with runc; oom_score_adj is restricted, because lowering it may not be allowed."""
    return f"""\
version = 2
root = "{folder}/containerd"
state = "/run/accountsync-containerd"
[grpc]
  address = "{socket(folder)}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""


def socket(folder: Path) -> Path:
    """Where containerd listens."""
    return folder / "containerd.sock"


def network(folder: Path) -> str:
    """Pods hang on one bridge, whose address is the node's, the API server's, and their gateway."""
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": PODS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": f"{folder}/addresses",
        },
    }
    return json.dumps({"cniVersion": "0.4.0", "name": "accountsync", "plugins": [bridge]})


def kubelet(folder: Path) -> str:
    """One node for tests: no cgroups by quality of service, no eviction, and its API is open to its own network."""
    return yaml.safe_dump(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": f"unix://{socket(folder)}",
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "failCgroupV1": False,
            "failSwapOn": False,
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "evictionHard": {"imagefs.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%"},
            "imageGCHighThresholdPercent": 100,
            "resolvConf": f"{folder}/resolv.conf",
            "podLogsDir": "/var/log/pods",
            "syncFrequency": "10s",
        }
    )


def kube_proxy(kubeconfig: Path) -> str:
    """iptables; connection tracking is left as the machine has it."""
    return yaml.safe_dump(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "hostnameOverride": NAME,
            "clusterCIDR": PODS,
            "clientConnection": {"kubeconfig": str(kubeconfig)},
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
        }
    )
