"""What `/metrics` must show of an account, generated from the table of metrics.

In:  the names of an account that is not suspended. Out: a pattern for each line that Prometheus must find, and which
of them a text lacks. A label value counts as a line of its own: a counter that is born at 1 is missed by increase().
A row that is not `sure` is asked for by nobody.
"""

import re
from collections.abc import Iterable, Mapping

from accountsync.report.metrics import TABLE, Kind, Row

NUMBER = r"[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf)"
ZERO = r"0\.0"


def required(
    namespace: str, account: str, *, fresh: bool = False, table: Iterable[Row] = TABLE
) -> dict[str, re.Pattern[str]]:
    """Each series of the account, as it is written → the pattern of its line.

    `fresh`: before the account's first cycle, when counters, and all that has a label of its own, are 0.
    """
    patterns = {}
    for row in table:
        if not row.sure:
            continue
        number = ZERO if fresh and (row.label or row.kind is Kind.COUNTER) else NUMBER
        for value in row.values:
            series = row.name + _braced(row.labels(namespace, account, value))
            patterns[series] = re.compile(f"^{re.escape(series)} {number}$", re.MULTILINE)
    return patterns


def types(table: Iterable[Row] = TABLE) -> dict[str, re.Pattern[str]]:
    """Each metric's name → the pattern of the line that tells its type."""
    return {row.name: re.compile(f"^# TYPE {row.name} {row.kind}$", re.MULTILINE) for row in table}


def missing(text: str, patterns: Mapping[str, re.Pattern[str]]) -> list[str]:
    """Names of the `patterns` that no line of `text` fits."""
    return [name for name, pattern in patterns.items() if not pattern.search(text)]


def _braced(labels: Mapping[str, str]) -> str:
    """Labels as the text format has them: sorted and escaped."""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(labels.items())) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
