"""A real Prometheus and a real Alertmanager on free ports of loopback, as child processes in a folder of their own."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml
from tests.support import tools
from tests.support.running import Program, until

Row = dict[str, Any]
LISTENING = re.compile(r"address=\"?127\.0\.0\.1:(\d+)")


class Server(Program):
    """A program of Prometheus' family: its log says on which port it listens."""

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            found = LISTENING.search(self.await_line('msg="Listening on"'))
            assert found is not None, self.output
            self.address = f"127.0.0.1:{found[1]}"
            until(self._ready, f"answer of {self.address}/-/ready")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _ready(self) -> bool:
        """It listens before it can answer: until then each query is a 503."""
        try:
            self._fetch("/-/ready")
        except urllib.error.HTTPError:
            return False
        return True

    def _fetch(self, path: str) -> bytes:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"http://{self.address}{path}", timeout=30) as response:
            body: bytes = response.read()
            return body

    def get(self, path: str, **query: str) -> Any:
        """What its HTTP API answers, parsed."""
        return json.loads(self._fetch(f"{path}?{urllib.parse.urlencode(query)}"))


class Prometheus(Server):
    """Scrapes `targets` (host:port → labels) as the job accountsync, and looks at `rules`, each `every` seconds."""

    def __init__(
        self,
        folder: Path,
        targets: Mapping[str, Mapping[str, str]],
        *,
        rules: Sequence[Path] = (),
        alertmanager: str = "",
        every: float = 1.0,
    ) -> None:
        step = f"{every * 1000:.0f}ms"
        config: Row = {
            "global": {"scrape_interval": step, "scrape_timeout": step, "evaluation_interval": step},
            "rule_files": [str(path) for path in rules],
            "scrape_configs": [
                {
                    "job_name": "accountsync",
                    "honor_labels": True,
                    "static_configs": [
                        {"targets": [address], "labels": dict(labels)} for address, labels in targets.items()
                    ],
                }
            ],
        }
        if alertmanager:
            config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
        folder.mkdir(parents=True, exist_ok=True)
        written = folder / "prometheus.yaml"
        written.write_text(yaml.safe_dump(config))
        super().__init__(
            [
                str(tools.find("prometheus") / "prometheus"),
                f"--config.file={written}",
                f"--storage.tsdb.path={folder / 'data'}",
                "--web.listen-address=127.0.0.1:0",
            ]
        )

    def query(self, expression: str) -> list[Row]:
        """An instant query: rows of `metric` and `value`. Raises urllib.error.HTTPError where it makes no sense."""
        answer = self.get("/api/v1/query", query=expression)
        result = answer["data"]["result"]
        return result if answer["data"]["resultType"] == "vector" else [{"metric": {}, "value": result}]

    def alerts(self, state: str = "firing") -> set[str]:
        """The names of the alerts in this state."""
        return {
            row["labels"]["alertname"] for row in self.get("/api/v1/alerts")["data"]["alerts"] if row["state"] == state
        }


class Alertmanager(Server):
    """Runs the configuration at `config`."""

    def __init__(self, folder: Path, config: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(
            [
                str(tools.find("alertmanager") / "alertmanager"),
                f"--config.file={config}",
                f"--storage.path={folder / 'data'}",
                "--web.listen-address=127.0.0.1:0",
                "--cluster.listen-address=",
            ]
        )

    def inhibited(self) -> set[str]:
        """The names of the alerts that another one silences."""
        rows = self.get("/api/v2/alerts", active="true")
        return {row["labels"]["alertname"] for row in rows if row["status"]["inhibitedBy"]}
