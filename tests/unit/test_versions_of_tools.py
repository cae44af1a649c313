"""A program on the path is taken where its version can do what the tests ask of it."""

import re

import pytest
from tests.support import tools

TAKEN = {
    "prometheus": ("2.42.0", "2.49.1", "2.53.4", "2.100.0", "3.0.1", "3.15.0", "10.0.0"),
    "alertmanager": ("0.25.0", "0.29.0", "0.34.1", "0.100.0", "1.0.0"),
}
REFUSED = {
    "prometheus": ("2.41.0", "2.5.0", "2.4.2", "1.8.2", "0.42.0", "2.420"),
    "alertmanager": ("0.24.0", "0.2.5", "0.9.1", "0.20.0"),
}
PROGRAMS = [(name, program) for name in TAKEN for program in tools.tools()[name].programs]


@pytest.mark.parametrize(("name", "program"), PROGRAMS)
def test_a_version_is_taken_from_the_first_that_has_what_the_rules_and_the_routes_need(name: str, program: str) -> None:
    def fits(version: str) -> bool:
        return re.search(tools.tools()[name].fits, f"{program}, version {version} (branch: HEAD)") is not None

    assert [version for version in TAKEN[name] if not fits(version)] == []
    assert [version for version in REFUSED[name] if fits(version)] == []


def test_no_tool_takes_another_ones_program() -> None:
    assert not re.search(tools.tools()["alertmanager"].fits, "prometheus, version 3.15.0")
    assert not re.search(tools.tools()["prometheus"].fits, "amtool, version 3.15.0")
