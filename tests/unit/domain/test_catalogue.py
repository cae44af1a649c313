"""The catalogue: one row a kind of finding, by the names that the runbooks use."""

import re

import pytest

from accountsync.api.caps import RULE_CAP
from accountsync.api.v1alpha1 import PauseAt
from accountsync.api.v1alpha1 import Severity as Written
from accountsync.domain.catalogue import CATALOGUE, Rule, Severity
from accountsync.domain.policy import Policy


def test_every_rule_has_a_row_of_its_own() -> None:
    assert list(CATALOGUE) == list(Rule)
    assert all(row.rule is rule for rule, row in CATALOGUE.items())


def test_account_sync_labels_are_runbook_29s_letter_for_letter() -> None:
    labels = [row.account_sync for row in CATALOGUE.values()]
    assert {"duplicate_key", "ts_regression", "negative_qty", "orphan_order"} <= set(labels)
    assert len(set(labels)) == len(labels)
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", label) for label in labels)


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        (Rule.MISSING_ORDER, "ORDER_MISSING_ON_EXCHANGE"),
        (Rule.UNEXPECTED_ORDER, "ORDER_EXISTS_UNEXPECTED"),
        (Rule.ORDER_DIVERGENCE, "ORDER_STATUS_DIVERGENCE"),
        (Rule.POSITION_MISMATCH, "POSITION_NONZERO_UNEXPECTED"),
    ],
)
def test_the_types_are_runbook_11s_letter_for_letter(rule: Rule, kind: str) -> None:
    assert CATALOGUE[rule].reconcile == kind


def test_no_other_rule_has_a_type_of_runbook_11() -> None:
    assert len([row for row in CATALOGUE.values() if row.reconcile]) == 4


@pytest.mark.parametrize(
    ("rule", "severity"),
    [
        (Rule.MISSING_ORDER, Severity.HIGH),
        (Rule.UNEXPECTED_ORDER, Severity.HIGH),
        (Rule.ORDER_DIVERGENCE, Severity.MEDIUM),
        (Rule.POSITION_MISMATCH, Severity.HIGH),
    ],
)
def test_severities_are_runbook_11s(rule: Rule, severity: Severity) -> None:
    assert CATALOGUE[rule].severity is severity


def test_only_what_the_snapshot_shows_by_itself_counts_at_once() -> None:
    assert {rule for rule, row in CATALOGUE.items() if row.at_once} == {
        Rule.DUPLICATE_KEY,
        Rule.NEGATIVE_QUANTITY,
        Rule.TIMESTAMP_REGRESSION,
    }


def test_every_rule_fits_into_a_status() -> None:
    assert max(len(rule.value.encode()) for rule in Rule) <= RULE_CAP


def test_the_resource_has_a_word_for_every_severity() -> None:
    assert {severity.word for severity in Severity} == {written.value for written in Written}


def test_a_policy_pauses_at_its_level_and_above() -> None:
    levels: list[Severity | None] = [None, *Severity]
    paused = {
        at.word if at else "never": [severity.word for severity in Severity if Policy(pause_at=at).pauses(severity)]
        for at in levels
    }
    assert paused == {
        "never": [],
        "warning": ["warning", "medium", "high", "critical"],
        "medium": ["medium", "high", "critical"],
        "high": ["high", "critical"],
        "critical": ["critical"],
    }


def test_nobody_can_ask_to_pause_for_warnings() -> None:
    assert "warning" not in [level.value for level in PauseAt]
