"""Plans as objects: what is read is what was written, and what cannot be read is said to be so."""

import copy
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.api.plans import ACCEPTED_PLANS, FLATTEN, REFUSED_PLANS, SPEC, RefusedPlan, plan

from accountsync.api import caps
from accountsync.api.v1alpha1 import RemediationPlan
from accountsync.controller.planning_objects import plan_of, plan_spec, plan_status
from accountsync.domain.account import PositionSide, Side
from accountsync.domain.intents import Intent, IntentState
from accountsync.domain.plan import Action, ActionKind, Phase, Plan, Repair, RepairKind
from accountsync.domain.propose import MOST_ACTIONS
from accountsync.domain.repair import MOST_REPAIRS
from accountsync.errors import ConfigurationError, Reason

CREATED = "2026-11-21T12:00:00Z"
CREATED_MS = 1_795_262_400_000
ACCOUNT, UID = "grid", "0b6c0c4e"


def stored(spec: dict[str, Any], status: dict[str, Any] | None = None, **metadata: str) -> dict[str, Any]:
    """The object as the API server gives it back."""
    body = plan("grid-1", spec)
    body["metadata"] |= {"creationTimestamp": CREATED, "resourceVersion": "7", **metadata}
    return body if status is None else body | {"status": status}


def as_stored(written: Plan) -> dict[str, Any]:
    spec = plan_spec(written, ACCOUNT, UID, "what", "why")
    body: dict[str, Any] = json.loads(json.dumps(stored(spec, plan_status(written), name=written.name)))
    return body


def a_plan(*actions: Action, **changes: Any) -> Plan:
    fields: dict[str, Any] = {"name": "grid-1", "created": CREATED_MS, "expires": CREATED_MS + 900_000}
    return Plan(actions=actions or (CANCEL,), version="7", **fields | changes)


CANCEL = Action(ActionKind.CANCEL, "BTC/USDT:USDT", order_id="42", findings=("UnexpectedOrder|BTC/USDT:USDT|42",))


@pytest.mark.parametrize("fields", ACCEPTED_PLANS, ids=lambda fields: json.dumps(fields)[:120])
def test_a_right_plan_is_read(fields: dict[str, Any]) -> None:
    spec = RemediationPlan.parse(plan("p", SPEC | fields)).spec
    assert RemediationPlan.parse(plan("again", spec.dump())).spec == spec


@pytest.mark.parametrize("case", REFUSED_PLANS, ids=str)
def test_a_wrong_plan_is_a_configuration_error(case: RefusedPlan) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        RemediationPlan.parse(plan("p", SPEC | case.fields))
    assert refusal.value.reason is Reason.SPEC_INVALID
    assert (case.ours or case.says) in refusal.value.message


words = st.lists(st.text("abc é🚀|:", min_size=1, max_size=8).map(str.strip), max_size=4).map(
    lambda parts: " ".join(" ".join(parts).split())
)
ids = st.text(max_size=40)
names = st.text("abc/:-_1é", min_size=1, max_size=20)
digits = st.text("0123456789", min_size=1, max_size=41)
amounts = st.decimals(0, 10**17, places=8) | st.builds("{}E{}".format, digits, st.integers(-80, 0)).map(Decimal)
signed = amounts | amounts.map(Decimal.__neg__)
moneys = st.decimals(-(10**5), 10**5, places=8)
seconds = st.integers(0, 4_000_000_000).map(lambda count: count * 1000)
instants = st.none() | st.integers(0, 2**62)
keys = st.lists(st.text(max_size=30), max_size=5).map(tuple)


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


repairs = st.builds(
    Repair,
    kind=st.sampled_from(RepairKind),
    symbol=names,
    id=ids,
    value=st.text(max_size=40),
    order_id=ids,
    client_id=ids,
    side=st.sampled_from(["", "buy", "sell"]),
    quantity=optional(signed),
    filled=optional(signed),
    price=optional(signed),
)
common = {"symbol": names, "client_id": ids, "notional": moneys, "findings": keys, "why": words}
actions = st.one_of(
    st.builds(Action, kind=st.just(ActionKind.CANCEL), order_id=names, conditional=st.booleans(), **common),
    st.builds(
        Action,
        kind=st.just(ActionKind.FLATTEN),
        leg=st.sampled_from(PositionSide),
        side=st.sampled_from(Side),
        quantity=amounts,
        price=optional(amounts),
        **common,
    ),
    st.builds(
        Action, kind=st.just(ActionKind.REPAIR), repairs=st.lists(repairs, min_size=1, max_size=3).map(tuple), **common
    ),
)
intents = st.builds(
    Intent,
    state=st.sampled_from(IntentState),
    client_id=ids,
    timestamp=instants,
    recv_window=optional(st.integers(0, 60_000)),
    holder=ids,
    epoch=st.integers(0, 2**62),
    order_id=ids,
    filled=optional(signed),
    message=words,
    at=instants,
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    steps = draw(st.lists(actions, min_size=1, max_size=4))
    closed = [index for index, step in enumerate(steps) if step.kind is ActionKind.FLATTEN]
    if closed:
        steps.append(Action(ActionKind.CANCEL, draw(names), order_id=draw(names), after=draw(st.sampled_from(closed))))
    known = draw(st.booleans())
    return a_plan(
        *steps,
        expires=draw(seconds),
        approval=draw(words),
        approved=draw(st.booleans()),
        dry_run=draw(st.booleans()),
        intents=tuple(draw(intents) for _ in steps) if known else (),
        phase=draw(st.sampled_from(Phase)),
        executed=draw(instants),
        message=draw(words),
    )


@given(plans())
def test_a_plan_comes_back_as_it_was_written(written: Plan) -> None:
    assert plan_of(as_stored(written)) == written


@given(plans())
def test_a_plan_that_comes_back_is_written_the_same(written: Plan) -> None:
    body = as_stored(written)
    assert as_stored(plan_of(body)) == body


def test_a_plan_without_a_status_waits_and_has_sent_nothing() -> None:
    read = plan_of(stored(SPEC))
    assert (read.phase, read.intents, read.executed, read.approved) == (Phase.PENDING, (), None, False)
    assert (read.name, read.version, read.created, read.expires) == ("grid-1", "7", CREATED_MS, CREATED_MS + 900_000)


def test_an_object_says_what_a_person_has_to_know() -> None:
    more = Action(ActionKind.CANCEL, "X", order_id="1", notional=Decimal("0.5"), findings=("a", "b"))
    spec = plan_spec(a_plan(CANCEL, more, approval="all of them"), ACCOUNT, UID, "cancel two", "not the bot's")
    assert spec["account"] == {"name": ACCOUNT, "uid": UID}
    assert (spec["summary"], spec["reason"], spec["approval"]) == ("cancel two", "not the bot's", "all of them")
    assert (spec["notional"], spec["approved"], spec["expires"]) == ("0.5", False, "2026-11-21T12:15:00Z")
    assert spec["findings"] == ["UnexpectedOrder|BTC/USDT:USDT|42", "a", "b"]


def test_texts_are_cut_and_what_is_done_is_not() -> None:
    long = "word " * 1000
    action = Action(ActionKind.CANCEL, "X", order_id="4" * 128, why=long, findings=("k" * 500,) * 60)
    spec = plan_spec(a_plan(action, approval=long), ACCOUNT, UID, long, long)
    texts = [spec["approval"], spec["summary"], spec["reason"], spec["actions"][0]["why"]]
    assert {len(text.encode()) for text in texts} == {caps.PLAN_TEXT_CAP}
    assert spec["actions"][0]["orderId"] == "4" * 128
    assert len(spec["actions"][0]["findings"]) == caps.PLAN_FINDINGS_CAP
    assert all(key.startswith("sha256:") for key in spec["actions"][0]["findings"])


@pytest.mark.parametrize(
    "action",
    [
        Action(ActionKind.CANCEL, "X", order_id="4" * 129),
        Action(ActionKind.CANCEL, "X"),
        Action(ActionKind.CANCEL, "X", order_id="4", after=0),
        Action(ActionKind.FLATTEN, "X", leg=PositionSide.NET, side=Side.BUY),
        Action(ActionKind.FLATTEN, "X", leg=PositionSide.NET, side=Side.BUY, quantity=Decimal(-1)),
        Action(ActionKind.FLATTEN, "X", leg=PositionSide.NET, side=Side.BUY, quantity=Decimal("1e41")),
        Action(ActionKind.REPAIR, repairs=(Repair(RepairKind.BALANCE, "USDT", "wallet", "1" * 161),)),
    ],
)
def test_an_action_that_could_not_be_stored_whole_is_refused(action: Action) -> None:
    with pytest.raises(ConfigurationError, match=r"spec\.actions"):
        plan_spec(a_plan(action), ACCOUNT, UID, "", "")


def test_more_actions_than_fit_are_refused() -> None:
    assert plan_spec(a_plan(*[CANCEL] * caps.PLAN_ACTIONS_CAP), ACCOUNT, UID, "", "")
    with pytest.raises(ConfigurationError, match=r"spec\.actions: .*at most 50"):
        plan_spec(a_plan(*[CANCEL] * (caps.PLAN_ACTIONS_CAP + 1)), ACCOUNT, UID, "", "")


def test_a_quantity_with_zeros_at_its_end_is_stored() -> None:
    quantity = Decimal("0.5" + "0" * 120)
    action = Action(ActionKind.FLATTEN, "X", leg=PositionSide.NET, side=Side.BUY, quantity=quantity)
    assert plan_spec(a_plan(action), ACCOUNT, UID, "", "")["actions"][0]["quantity"] == "0.5"


@given(ids, st.text(max_size=500))
def test_what_became_of_it_can_always_be_written(order_id: str, text: str) -> None:
    intent = Intent(IntentState.DONE, order_id=order_id * 10, holder=text, message=text)
    status = plan_status(a_plan(intents=(intent,), message=text))
    read = plan_of(stored(plan_spec(a_plan(), ACCOUNT, UID, "", ""), status))
    assert read.intents[0].state is IntentState.DONE
    assert (read.intents[0].order_id == order_id * 10) == (len((order_id * 10).encode()) <= caps.ORDER_ID_CAP)


def test_a_plan_of_the_judgement_fits_into_an_object() -> None:
    assert (MOST_ACTIONS, MOST_REPAIRS) == (caps.PLAN_ACTIONS_CAP, caps.PLAN_REPAIRS_CAP)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"phase": "Paused"}, "status.phase: expected 'Pending'"),
        ({"phase": "Running", "intents": [{"state": "Sent"}]}, "status.intents.0.state: expected 'Planned'"),
        ({"phase": "Running", "intents": [{}]}, "status.intents.0.state: is required"),
        ({"phase": "Running", "intents": [{"state": "Done"}]}, "status.intents: expected one for each"),
    ],
)
def test_a_status_that_another_release_wrote_is_not_guessed_at(status: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        plan_of(stored(SPEC, status))
    assert says in refusal.value.message


def test_an_object_that_is_not_stored_yet_is_no_plan() -> None:
    with pytest.raises(ConfigurationError, match="creationTimestamp"):
        plan_of(plan("grid-1"))


def test_a_refusal_never_repeats_what_it_found() -> None:
    broken = copy.deepcopy(SPEC)
    broken["actions"] = [FLATTEN | {"price": "hunter2"}]
    with pytest.raises(ConfigurationError) as refusal:
        plan_of(stored(broken))
    assert "hunter2" not in str(refusal.value)
