"""The cluster that the suite runs on, and how it is spoken to."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.helm import Helm
from tests.support.running import Program

Document = dict[str, Any]


class CommandError(RuntimeError):
    """A command failed; the message carries what it said."""


@dataclass(frozen=True)
class Cluster:
    """`image` is what its nodes run; `image_id`, where it is known, what they must say that they run."""

    what: str
    kubeconfig: Path
    kubectl_program: Path
    helm: Helm
    image: str
    pull_policy: str
    image_id: str = ""

    def kubectl(self, *arguments: str, stdin: object = None, check: bool = True) -> str:
        """What kubectl prints; `stdin` is a document or a list of them. Raises CommandError."""
        documents = stdin if isinstance(stdin, list) else [stdin]
        ran = subprocess.run(
            [self.kubectl_program, *arguments],
            input="" if stdin is None else "\n---\n".join(json.dumps(document) for document in documents),
            env=self.env(),
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        if check and ran.returncode:
            raise CommandError(f"kubectl {' '.join(arguments)}: {ran.stderr.strip() or ran.stdout.strip()}")
        return ran.stdout if check else ran.stdout + ran.stderr

    def get(self, *arguments: str) -> Document:
        """An object or a list, as the API server has it."""
        document: Document = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return document

    def follow(self, *arguments: str) -> Program:
        """kubectl in the background, its lines kept."""
        return Program([str(self.kubectl_program), *arguments], self.env())

    def env(self) -> dict[str, str]:
        """The environment in which kubectl finds the cluster."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
