"""The cache of third-party programs: where a tool is looked for, and what never gets into it."""

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.cache import AssetsError, Provider, Tool, find, host

PROGRAMS = ("saw", "hammer")


def put_programs(folder: Path, *names: str, version: str = "1.2.3") -> Path:
    """Programs that tell a version."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or PROGRAMS:
        (folder / name).write_text(f"#!/bin/sh\necho toolbox v{version}\n")
        (folder / name).chmod(0o755)
    return folder


def provide_programs(_version: str, _host: str, folder: Path) -> None:
    put_programs(folder)


def provide_some(_version: str, _host: str, folder: Path) -> None:
    put_programs(folder, "saw")


def provide_too_old(_version: str, _host: str, folder: Path) -> None:
    put_programs(folder, version="0.9.0")


def provide_nothing(_version: str, _host: str, _folder: Path) -> None:
    raise RuntimeError("this machine has none")


def must_not_be_asked(_version: str, _host: str, _folder: Path) -> None:
    pytest.fail("the finder went further than it had to")


def toolbox(*providers: Provider) -> Tool:
    named = {provider.__name__: provider for provider in providers or (must_not_be_asked,)}
    return Tool("toolbox", "1.2.3", dict.fromkeys(PROGRAMS, "--version"), r"v1\.", named)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}


@pytest.fixture
def cached(tmp_path: Path) -> Path:
    """Where the cache has the tool, if it has it."""
    return tmp_path / "accountsync" / "toolbox" / f"1.2.3-{host()}"


def left_behind(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "accountsync").iterdir())


def test_the_named_folder_comes_before_all_others(environ: dict[str, str], cached: Path, tmp_path: Path) -> None:
    put_programs(cached)
    put_programs(tmp_path / "bin")
    named = put_programs(tmp_path / "named")

    tool = replace(toolbox(), any_on_path=True)

    assert find(tool, environ={**environ, "ACCOUNTSYNC_TOOLS_TOOLBOX": str(named)}) == [named]


def test_an_incomplete_named_folder_is_an_error_that_names_what_it_lacks(
    environ: dict[str, str], cached: Path, tmp_path: Path
) -> None:
    put_programs(cached)
    named = put_programs(tmp_path / "named", "saw")

    with pytest.raises(AssetsError, match=r"named, which has no executable hammer"):
        find(toolbox(), environ={**environ, "ACCOUNTSYNC_TOOLS_TOOLBOX": str(named)})


def test_an_installed_tool_of_a_fitting_version_comes_before_the_cache(
    environ: dict[str, str], cached: Path, tmp_path: Path
) -> None:
    put_programs(cached)
    installed = put_programs(tmp_path / "bin")

    assert find(replace(toolbox(), any_on_path=True), environ=environ) == [installed]


def test_an_installed_tool_is_left_alone_where_its_version_matters(
    environ: dict[str, str], cached: Path, tmp_path: Path
) -> None:
    put_programs(cached)
    put_programs(tmp_path / "bin")

    assert find(toolbox(), environ=environ) == [cached]


@pytest.mark.parametrize(("names", "version"), [(PROGRAMS, "2.0.0"), (("saw",), "1.2.3")])
def test_an_installed_tool_that_does_not_fit_is_left_alone(
    environ: dict[str, str], cached: Path, tmp_path: Path, names: tuple[str, ...], version: str
) -> None:
    put_programs(cached)
    put_programs(tmp_path / "bin", *names, version=version)

    assert find(replace(toolbox(), any_on_path=True), environ=environ) == [cached]


def test_the_cache_comes_before_every_provider(environ: dict[str, str], cached: Path) -> None:
    put_programs(cached)

    assert find(toolbox(must_not_be_asked), environ=environ) == [cached]


def test_another_version_has_a_cache_of_its_own(environ: dict[str, str], cached: Path) -> None:
    put_programs(cached)

    found = find(replace(toolbox(provide_programs), version="1.3.0"), environ=environ)

    assert found == [cached.with_name(f"1.3.0-{host()}")]


def test_the_next_provider_is_asked_only_when_the_one_before_could_not(environ: dict[str, str], cached: Path) -> None:
    tool = toolbox(provide_nothing, provide_some, provide_too_old, provide_programs, must_not_be_asked)

    assert find(tool, environ=environ) == [cached]
    assert "v1.2.3" in (cached / "hammer").read_text()


def test_when_no_provider_can_the_error_says_why_for_each(environ: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(AssetsError) as caught:
        find(toolbox(provide_nothing, provide_some, provide_too_old), environ=environ)

    assert "provide_nothing: this machine has none" in str(caught.value)
    assert "provide_some: it has no hammer" in str(caught.value)
    assert "provide_too_old: its saw is none that fits 'v1\\\\.': toolbox v0.9.0" in str(caught.value)
    assert left_behind(tmp_path) == ["lock"]


def test_a_tool_of_another_system_is_not_even_asked_for(environ: dict[str, str]) -> None:
    with pytest.raises(AssetsError, match="it runs on plan9 only"):
        find(replace(toolbox(must_not_be_asked), systems=("plan9",)), environ=environ)


def test_a_file_that_is_no_program_need_not_be_executable(environ: dict[str, str], cached: Path) -> None:
    cached.mkdir(parents=True)
    (cached / "manual.yaml").touch(mode=0o644)

    assert find(replace(toolbox(must_not_be_asked), programs={"manual.yaml": ""}), environ=environ) == [cached]


def test_an_interrupted_fill_leaves_nothing(environ: dict[str, str], tmp_path: Path) -> None:
    def provide_until_interrupted(_version: str, _host: str, folder: Path) -> None:
        put_programs(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find(toolbox(provide_until_interrupted), environ=environ)

    assert left_behind(tmp_path) == ["lock"]


def test_what_a_killed_run_left_is_removed_and_not_used(environ: dict[str, str], cached: Path, tmp_path: Path) -> None:
    put_programs(tmp_path / "accountsync" / ".work-abcdef" / "programs")
    put_programs(cached, "saw")

    find(toolbox(provide_programs), environ=environ)

    assert left_behind(tmp_path) == ["lock", "toolbox"]
    assert os.access(cached / "hammer", os.X_OK)


def test_tools_that_are_asked_for_together_share_what_providers_left(environ: dict[str, str]) -> None:
    def provide_and_remember(_version: str, _host: str, folder: Path) -> None:
        with (folder.parent / "remembered").open("a") as file:
            file.write("x")
        put_programs(folder, version=f"1.{(folder.parent / 'remembered').stat().st_size}")

    tool = toolbox(provide_and_remember)
    _, second = find(tool, replace(tool, name="other"), environ=environ)

    assert "v1.2" in (second / "saw").read_text()


def test_runs_at_the_same_time_fill_the_cache_once(environ: dict[str, str]) -> None:
    asked = []
    both = threading.Barrier(2)

    def provide(version: str, host: str, folder: Path) -> None:
        asked.append(version)
        provide_programs(version, host, folder)

    def run() -> None:
        both.wait()
        find(toolbox(provide), environ=environ)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert asked == ["1.2.3"]
