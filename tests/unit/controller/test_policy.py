"""What the resource asks of the judgement: every field of spec.remediation arrives, in the units of the domain."""

from decimal import Decimal
from typing import Any

import pytest
from tests.api.accounts import FULL, MINIMAL, account

from accountsync.api.v1alpha1 import TradingAccount
from accountsync.controller.policy import policy_of
from accountsync.domain.catalogue import Rule
from accountsync.domain.policy import (
    FlattenBy,
    Limits,
    Mode,
    Remedies,
    Threshold,
    UnexpectedOrders,
    UnexpectedPositions,
)


def test_without_a_word_about_remediation_nothing_is_done_about_a_finding() -> None:
    policy = policy_of(TradingAccount.parse(account("grid", MINIMAL)).spec)
    assert policy.mode is Mode.OBSERVE
    assert policy.remedies == Remedies()
    assert (policy.remedies.orders, policy.remedies.positions) == (UnexpectedOrders.NEVER, UnexpectedPositions.NEVER)


def test_every_field_of_the_remediation_arrives() -> None:
    policy = policy_of(TradingAccount.parse(account("grid", FULL)).spec)
    assert policy.mode is Mode.ENFORCE
    assert policy.remedies == Remedies(
        dry_run=True,
        repair=False,
        orders=UnexpectedOrders.CANCEL,
        positions=UnexpectedPositions.FLATTEN,
        prefixes=("old_", "older_"),
        flatten_by=FlattenBy.MARKET,
        max_slippage=Decimal("0.01"),
        limits=Limits(10, Decimal(500), Decimal(2000)),
        thresholds={Rule.UNEXPECTED_ORDER: Threshold(3, Decimal(10), 60.0)},
        expires_after=1800.0,
    )


@pytest.mark.parametrize(
    ("bot", "ms"),
    [
        ({}, 10_000),
        ({"gate": {}}, 60_000),
        ({"gate": {"failClosedAfter": "5s"}}, 10_000),
        ({"gate": {}, "pauseAllowance": "90s"}, 90_000),
    ],
    ids=["no gate", "cut off for longer", "cut off for less", "asked for more"],
)
def test_a_bot_with_a_gate_may_need_as_long_as_one_that_is_cut_off_stays_open(bot: dict[str, Any], ms: int) -> None:
    asked = {**MINIMAL, "bot": {**MINIMAL["bot"], **bot}}
    assert policy_of(TradingAccount.parse(account("grid", asked)).spec).pause_allowance_ms == ms
