"""One version for the package, the chart and the image."""

import tomllib

import pytest
import yaml
from tests.support.helm import CHART, Helm, only
from tests.support.running import ROOT

from accountsync import __version__

pytestmark = pytest.mark.lint


def test_package_chart_and_image_have_one_version(helm4: Helm) -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {chart["version"], chart["appVersion"], project["version"]} == {__version__}
    (container,) = only(helm4.template(), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith(f":{__version__}")
