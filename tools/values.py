"""What charts/accountsync/values.yaml says: a JSON Schema, and a table for people.

The comment of a value begins with `# --`; `# @schema {…}` adds to what the value's default implies.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

DNS = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
QUANTITY = {"type": ["string", "number"], "minimum": 0}
AMOUNT = r"^[0-9]+(\.[0-9]+)?([kMGTPE]|[KMGTPE]i|[eE][0-9]+)?$"
QUANTITIES = {
    "type": "object",
    "properties": {
        "cpu": {**QUANTITY, "pattern": r"^[0-9]+(m|\.[0-9]{1,3})?$"},
        "memory": {**QUANTITY, "pattern": AMOUNT},
    },
    "additionalProperties": {**QUANTITY, "pattern": AMOUNT},
}
DURATION = {"type": "string", "pattern": "^([0-9]+(ms|[smhd]))*$"}
WINDOW = "^([2-9][0-9]s|[1-9][0-9]{2,}s|[1-9][0-9]*[mhd])$"
SECONDS = {"type": "integer", "minimum": 1}
TIMES = ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold")
OF_THE_CHART = (
    "helm.sh/chart",
    *(f"app.kubernetes.io/{key}" for key in ("name", "instance", "version", "component", "managed-by")),
)
OF_THE_ALERTS = (
    *("alertname", "severity", "category", "job", "instance", "pod", "namespace", "account"),
    *("rule", "type", "source", "exchange", "egress"),
)
SELECTOR = {"type": "object", "properties": {"matchLabels": STRINGS, "matchExpressions": {"type": "array"}}}
OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IPV4 = rf"({OCTET}\.){{3}}{OCTET}"
IPV6 = rf"([0-9a-fA-F]{{0,4}}:){{2,8}}([0-9a-fA-F]{{1,4}}|{IPV4})?"
CIDR = {
    "type": "string",
    "pattern": f"^({IPV4}/(3[0-2]|[12]?[0-9])|{IPV6}/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))$",
}
PORT_NUMBER = "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
IP_BLOCK = {"type": "object", "properties": {"cidr": CIDR, "except": {"type": "array", "items": CIDR}}}
PEER = {"namespaceSelector": SELECTOR, "podSelector": SELECTOR}
DEFINITIONS: dict[str, dict[str, Any]] = {
    "strings": STRINGS,
    "labels": {**STRINGS, "properties": dict.fromkeys(OF_THE_CHART, False)},
    "ruleLabels": {
        "type": "object",
        "properties": dict.fromkeys(OF_THE_ALERTS, False),
        "patternProperties": {"^[a-zA-Z_][a-zA-Z0-9_]*$": {"type": "string"}},
    },
    "port": PORT,
    "cidr": CIDR,
    "duration": DURATION,
    "namespace": {"type": "string", "maxLength": 63, "pattern": f"^{DNS}$"},
    "objectName": {"type": "string", "maxLength": 253, "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"},
    # with accountsync-gate- before it, it is the name of its heartbeat, which has 253 characters as well
    "gatedAccount": {"type": "string", "maxLength": 236, "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"},
    "origin": {
        "type": "string",
        "pattern": r"^https?://([a-z0-9.-]{1,253}|\[[0-9a-f:.]+\])(:(@PORT|\*))?/?$".replace("@PORT", PORT_NUMBER),
    },
    "botOrigin": {
        "type": "string",
        "pattern": r"^(https?|postgres(\+tls)?)://([a-z0-9.-]{1,253}|\[[0-9a-f:.]+\])(:(@PORT|\*))?/?$".replace(
            "@PORT", PORT_NUMBER
        ),
    },
    "exchangeName": {"type": "string", "pattern": rf"^([-a-z0-9.*]+\.)?{DNS}\.{DNS}$"},
    "localReference": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    "envVar": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "value": {"type": "string"}, "valueFrom": {"type": "object"}},
        "required": ["name"],
    },
    "resources": {"type": "object", "properties": {"requests": QUANTITIES, "limits": QUANTITIES}},
    "probe": {
        "type": "object",
        "properties": dict.fromkeys(TIMES, SECONDS),
    },
    "peer": {"type": "object", "minProperties": 1, "properties": {**PEER, "ipBlock": IP_BLOCK}},
    "bot": {
        "type": "object",
        "properties": {**PEER, "ports": {"type": "array", "minItems": 1, "items": PORT}},
        "required": ["ports"],
        "minProperties": 2,
    },
    "database": {
        "type": "object",
        "properties": {**PEER, "ipBlock": IP_BLOCK, "ports": {"type": "array", "minItems": 1, "items": PORT}},
        "anyOf": [{"required": [name]} for name in (*PEER, "ipBlock")],
    },
}
CONDITIONS = ("if", "then")
"""What stands there says something of an object that is closed already."""
TYPES: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


@dataclass(frozen=True)
class Value:
    """One key of values.yaml. `children` empty: a leaf, described by `text`."""

    path: str
    default: Any
    text: str
    schema: dict[str, Any]
    children: tuple["Value", ...]

    def leaves(self) -> Iterator["Value"]:
        """The values that can be set."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()


def parsed(text: str) -> tuple[Value, ...]:
    """What values.yaml says. Raises SystemExit for a leaf that nothing describes."""
    lines, node = text.splitlines(), yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(node, yaml.MappingNode)
    return tuple(_values(node, yaml.safe_load(text), lines, ""))


def _values(node: yaml.MappingNode, defaults: dict[str, Any], lines: list[str], above: str) -> Iterator[Value]:
    for key, value in node.value:
        first = key.start_mark.line
        while first and lines[first - 1].lstrip().startswith("#"):
            first -= 1
        comment = "\n".join(line.strip().removeprefix("#").strip() for line in lines[first : key.start_mark.line])
        prose, _, schema = comment.partition("@schema")
        described = "-- " in prose
        path, default = f"{above}{key.value}", defaults[key.value]
        if not described and not isinstance(value, yaml.MappingNode):
            raise SystemExit(f"values.yaml: {path} has no comment that begins with `# --`")
        children = () if described else tuple(_values(value, default, lines, f"{path}."))
        words = " ".join(prose.partition("-- ")[2].split())
        yield Value(path, default, words, yaml.safe_load(schema) or {}, children)


def schema_of(found: tuple[Value, ...]) -> dict[str, Any]:
    """The JSON Schema of an object with these keys."""
    properties = {}
    for value in found:
        name = value.path.rpartition(".")[2]
        inferred = schema_of(value.children) if value.children else {"type": TYPES[type(value.default)]}
        told = {"description": value.text} if value.text else {}
        properties[name] = value.schema if "$ref" in value.schema else told | inferred | value.schema
    return {"type": "object", "additionalProperties": False, "properties": properties}


def closed(schema: Any) -> Any:
    """The schema, in which an object with known properties has no others."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: value if key in CONDITIONS else closed(value) for key, value in schema.items()}
    return {"additionalProperties": False, **inner} if isinstance(schema.get("properties"), dict) else inner


def alert_definitions(groups: list[dict[str, Any]]) -> dict[str, Any]:
    """The names of the alerts, and what of each can be overridden."""
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    overrides = {}
    for rule in alerts:
        can: dict[str, Any] = {"for": DURATION, "severity": {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}}
        if re.search(r"[<>]=? *[0-9.]+$", rule["expr"].strip()):
            can["threshold"] = {"type": "number", "minimum": 0}
        if re.search(r"\[[0-9]+[a-z]+\]", rule["expr"]):
            can["window"] = {"type": "string", "pattern": WINDOW}
        overrides[rule["alert"]] = {"type": "object", "properties": can}
    names = {"type": "string", "enum": [rule["alert"] for rule in alerts]}
    return {"alertName": names, "overrides": {"type": "object", "properties": overrides}}


def schema_text(found: tuple[Value, ...], alerts: str) -> str:
    """values.schema.json. `global` and `enabled` are what a chart that depends on this one may set."""
    schema = schema_of(found)
    schema["properties"] |= {"global": {"type": "object"}, "enabled": {"type": "boolean"}}
    definitions = DEFINITIONS | alert_definitions(yaml.safe_load(alerts)["groups"])
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the chart accountsync"}
    return json.dumps(head | closed(schema | {"definitions": definitions}), indent=2, ensure_ascii=False) + "\n"


def table(found: tuple[Value, ...]) -> str:
    """The table of values."""
    rows = ["| value | default | |", "|---|---|---|"]
    for leaf in (leaf for value in found for leaf in value.leaves()):
        default = json.dumps(leaf.default, ensure_ascii=False)
        rows.append(f"| `{leaf.path}` | `{default}` | {leaf.text.replace('|', chr(92) + '|')} |")
    return "\n".join(rows)
