"""RemediationPlans for tests: one of each action, and ways to break it."""

import copy
import json
from dataclasses import dataclass
from typing import Any

REPAIR = {"type": "missing_local_order", "symbol": "BTC/USDT:USDT", "id": "42", "value": "open"}
CANCEL = {"type": "Cancel", "symbol": "BTC/USDT:USDT", "orderId": "42", "after": 1}
FLATTEN = {
    "type": "Flatten",
    "symbol": "BTC/USDT:USDT",
    "positionSide": "net",
    "side": "sell",
    "quantity": "0.5",
    "price": "59700.1",
    "notional": "29850.05",
    "findings": ["PositionMismatch|BTC/USDT:USDT|net"],
}
SPEC: dict[str, Any] = {
    "account": {"name": "grid", "uid": "0b6c0c4e-0000-4000-8000-000000000000"},
    "approval": "closes everything",
    "expires": "2026-11-21T12:15:00Z",
    "summary": "flatten BTC/USDT:USDT net",
    "reason": "the bot expects none",
    "notional": "29850.05",
    "findings": ["PositionMismatch|BTC/USDT:USDT|net"],
    "actions": [CANCEL, FLATTEN, {"type": "Repair", "repairs": [REPAIR]}],
}


def plan(name: str, spec: dict[str, Any] | None = None, namespace: str = "trading") -> dict[str, Any]:
    return {
        "apiVersion": "accountsync.dev/v1alpha1",
        "kind": "RemediationPlan",
        "metadata": {"name": name, "namespace": namespace},
        "spec": copy.deepcopy(SPEC if spec is None else spec),
    }


@dataclass(frozen=True)
class RefusedPlan:
    """Fields of a spec that are refused, in words that hold `says`; `ours`: our own check, where its words differ."""

    fields: dict[str, Any]
    says: str
    ours: str = ""

    def __str__(self) -> str:
        return json.dumps(self.fields)[:120]


def _action(action: dict[str, Any], says: str, ours: str = "") -> RefusedPlan:
    return RefusedPlan({"actions": [action]}, says, ours)


INCOMPLETE = "expected what the type needs"
NO_FLATTEN = "expected after to be the index of a Flatten"
ALONE = {key: value for key, value in CANCEL.items() if key != "after"}

REFUSED_PLANS = [
    RefusedPlan({"actions": []}, "should have at least 1 items", "at least 1 item"),
    RefusedPlan({"actions": [ALONE] * 51}, "must have at most 50 items", "at most 50 items"),
    RefusedPlan({"findings": [str(n) for n in range(51)]}, "must have at most 50 items", "at most 50 items"),
    RefusedPlan({"account": {"name": "Not A Name", "uid": "u"}}, "expected the name of an object in this namespace"),
    RefusedPlan({"account": {"name": "grid", "uid": ""}}, "should be at least 1 chars long", "at least 1 character"),
    RefusedPlan({"account": {"name": "grid"}}, "Required value", "is required"),
    _action({"type": "Buy"}, 'supported values: "Cancel", "Flatten", "Repair"', "'Cancel', 'Flatten' or 'Repair'"),
    _action(ALONE | {"orderId": ""}, INCOMPLETE),
    _action(ALONE | {"orderId": "x" * 129}, "Too long", "at most 128 characters"),
    _action(ALONE | {"symbol": "x" * 65}, "Too long", "at most 64 characters"),
    _action(ALONE | {"repairs": [REPAIR]}, INCOMPLETE),
    _action({"type": "Repair"}, INCOMPLETE),
    *[
        _action({key: value for key, value in FLATTEN.items() if key != left_out}, INCOMPLETE)
        for left_out in ("positionSide", "side", "quantity")
    ],
    _action(FLATTEN | {"quantity": "-1"}, "should match", "of zero or more"),
    _action(FLATTEN | {"price": "6e4"}, "should match", "of zero or more"),
    _action(FLATTEN | {"side": "hold"}, 'supported values: "buy", "sell"', "'buy' or 'sell'"),
    _action(CANCEL | {"after": 0}, NO_FLATTEN),
    _action(CANCEL | {"after": 1}, NO_FLATTEN),
    _action(CANCEL | {"after": -1}, "greater than or equal to 0", "greater than or equal to 0"),
    _action({"type": "Repair", "repairs": [REPAIR] * 101}, "must have at most 100 items", "at most 100 items"),
    RefusedPlan({"actions": [{"type": "Repair", "repairs": [REPAIR] * 51}] * 2}, "at most 100 repairs in all"),
]
ACCEPTED_PLANS: list[dict[str, Any]] = [
    {},
    {"approval": "", "dryRun": True},
    {"actions": [ALONE]},
    {"actions": [ALONE] * 50},
    {"actions": [FLATTEN] * 49 + [CANCEL | {"after": 48}]},
    {"actions": [{key: value for key, value in FLATTEN.items() if key != "price"}]},
    {"actions": [{"type": "Repair", "repairs": [REPAIR] * 50}] * 2},
    {"actions": [{"type": "Repair", "repairs": [{"type": "position_mismatch", "value": "-0.5"}]}]},
    {"actions": [{"type": "Repair", "repairs": [REPAIR | {"quantity": "-1", "price": "0." + "0" * 40 + "1" * 64}]}]},
    {"findings": [str(n) for n in range(50)]},
]
