"""The files of the Helm chart that are made from others: `python -m tools.chart --write`, or `--check`.

charts/accountsync/values.yaml is the source of values.schema.json and of the table in README.md. CRDs and alerts are
copies, since a chart can hold no file from outside. deploy/install.yaml is the chart rendered, for people without Helm.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import yaml
from tests.support import tools

from tools import values

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts" / "accountsync"
INSTALL = ROOT / "deploy" / "install.yaml"


def install_text() -> str:
    """deploy/install.yaml: the chart with its default values, without what only Helm reads."""
    helm = str(tools.find("helm3") / "helm")
    options = ["--namespace=accountsync", "--kube-version=1.31.0", "--set=tests.enabled=false"]
    command = [helm, "template", "accountsync", str(CHART), *options]
    rendered = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own chart
    if rendered.returncode:
        raise SystemExit(rendered.stderr)
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "accountsync", "labels": levels}}
    documents = [namespace, *filter(None, yaml.safe_load_all(rendered.stdout))]
    for document in documents:
        for each in (document, document.get("spec", {}).get("template", {})):
            metadata = each.get("metadata", {})
            for key in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
                metadata.get("labels", {}).pop(key, None)
            metadata.pop("annotations", None)
    head = "# charts/accountsync rendered by `make chart`: kubectl apply --server-side -f deploy/install.yaml\n---\n"
    return head + yaml.safe_dump_all(documents, sort_keys=False, width=120, allow_unicode=True)


def generated() -> dict[Path, str]:
    """Each generated file and what it should hold. The rendering is made from the files on disk, so it comes last."""
    found = values.parsed((CHART / "values.yaml").read_text(encoding="utf-8"))
    alerts = (ROOT / "alerts" / "accountsync.yaml").read_text(encoding="utf-8")
    readme = (CHART / "README.template.md").read_text(encoding="utf-8")
    copies = {
        CHART / "files/crds" / path.name: path.read_text(encoding="utf-8") for path in (ROOT / "crds").glob("*.yaml")
    }
    return copies | {
        CHART / "files/alerts/accountsync.yaml": alerts,
        CHART / "values.schema.json": values.schema_text(found, alerts),
        CHART / "README.md": readme.replace("<!-- values -->", values.table(found)),
    }


def stale(wanted: dict[Path, str]) -> list[Path]:
    """Which of them hold something else."""
    return [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]


def left_over(wanted: dict[Path, str]) -> list[Path]:
    """Copies of what is no longer there: the chart would go on installing them."""
    return [
        path for folder in ("crds", "alerts") for path in (CHART / "files" / folder).iterdir() if path not in wanted
    ]


def main() -> None:
    """Write or check."""
    parser = argparse.ArgumentParser(description="the generated files of the chart")
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", action="store_true")
    mode.add_argument("--check", action="store_true")
    write = parser.parse_args().write
    files = generated()
    wrong = [*stale(files), *left_over(files)]
    if write:
        for path in stale(files):
            path.write_text(files[path], encoding="utf-8")
        for path in left_over(files):
            path.unlink()
    rendered = {INSTALL: install_text()}  # of the files as they are now
    wrong += stale(rendered)
    if write:
        INSTALL.write_text(rendered[INSTALL], encoding="utf-8")
    elif wrong:
        sys.exit(f"out of date: {', '.join(str(path.relative_to(ROOT)) for path in wrong)}: run `make chart`")


if __name__ == "__main__":
    main()
