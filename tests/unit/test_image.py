"""What goes into the image, as far as text alone tells."""

import re
from pathlib import Path

from tests.support.node_images import pip_files
from tests.support.running import ROOT


def test_the_image_is_built_with_the_versions_that_developers_use() -> None:
    build, dev = pins("build.txt"), pins("dev.txt")
    assert "hatchling" in build
    assert build.items() <= dev.items()


def test_pip_in_the_build_is_told_what_pip_here_is_told_of_packages_and_the_environment_wins() -> None:
    listed = r"""
:env:.cert='/here/authority.pem'
global.cert='/other.pem'
global.no-color='1'
user.find-links='/here/wheels https://wheels.example/all'
user.trusted-host='one.example\ntwo.example'
""".strip()
    files, conf = pip_files(listed)
    assert files == {"/etc/pip.cert": Path("/here/authority.pem")}
    assert conf == (
        "[global]\n"
        "cert = /etc/pip.cert\n"
        "find-links = https://wheels.example/all\n"
        "trusted-host = one.example\n    two.example\n"
    )


def test_a_pip_that_is_told_nothing_tells_nothing() -> None:
    assert pip_files("") == ({}, "[global]\n")


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9.-]+)==([^ ;]+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE))
