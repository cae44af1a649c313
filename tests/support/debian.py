"""Programs out of Debian's packages: downloaded and unpacked, not installed, so no root is needed.

apt-get checks the signatures. The package's version is the one that this machine's Debian or Ubuntu has, not
the one that was asked for. Where the machine's own package lists do not know the package, because nobody has
run apt-get update yet, fresh lists are fetched into the work folder.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support import steps
from tests.support.progress import say


@dataclass(frozen=True, slots=True)
class Package:
    """A package, and where in it the programs are."""

    name: str
    programs: Mapping[str, str]
    """The path in the package of each program."""

    def provide(self, version: str, host: str, folder: Path) -> None:
        """Put the programs into `folder`.

        Raises RuntimeError when there is no apt-get, or it cannot download the package.
        """
        del version, host
        if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
            raise RuntimeError("there is no apt-get on this machine")
        work = folder.parent
        here = work / "debian"
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir()
        try:
            steps.run(f"downloading {self.name}", ["apt-get", "download", self.name], work=work, cwd=here)
        except RuntimeError:
            say("this machine's package lists may be old or absent: fetching fresh ones aside")
            apt = ["apt-get", *_with_lists_in(work / "apt")]
            steps.run("fetching package lists", [*apt, "update"], work=work, cwd=here)
            steps.run(f"downloading {self.name}", [*apt, "download", self.name], work=work, cwd=here)
        (package,) = here.glob("*.deb")
        steps.run(f"unpacking {package.name}", ["dpkg", "-x", str(package), str(here)], work=work, cwd=here)
        for program, path in self.programs.items():
            shutil.copy(here / path, folder / program)


def _with_lists_in(folder: Path) -> list[str]:
    for part in ("lists", "cache"):
        (folder / part / "partial").mkdir(parents=True, exist_ok=True)
    options = (f"Dir::State::Lists={folder}/lists", f"Dir::Cache={folder}/cache", "APT::Sandbox::User=root")
    return [word for option in options for word in ("-o", option)]
