"""What the gate tells Prometheus, written by hand: four gauges are no reason for a library."""

from collections.abc import Mapping
from typing import Final

from accountsync.gate.keeper import Keeper

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
HELP: Final[Mapping[str, str]] = {
    "accountsync_gate_open": "1: the bot may trade. 0: the gate is closed.",
    "accountsync_gate_overridden": "1: a person opened the gate, whatever stands.",
    "accountsync_gate_would_close": "1: the gate is open only because of mode Observe or of an override.",
    "accountsync_gate_heartbeat_age_seconds": "Seconds since the operator's heartbeat last changed.",
}


def rendered(keeper: Keeper) -> str:
    """All of it in Prometheus' text format."""
    answer = keeper.answer
    values: Mapping[str, float] = {
        "accountsync_gate_open": answer.open,
        "accountsync_gate_overridden": answer.override is not None,
        "accountsync_gate_would_close": bool(answer.would_close),
        "accountsync_gate_heartbeat_age_seconds": round(keeper.beat_age, 3),
    }
    labels = f'{{namespace="{_escaped(keeper.namespace)}",account="{_escaped(keeper.name)}"}}'
    return "".join(
        f"# HELP {name} {text}\n# TYPE {name} gauge\n{name}{labels} {values[name]:g}\n" for name, text in HELP.items()
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
