"""What a gate is started with, and whether that is safe.

In:  options, as texts. Out: `Settings`, or SettingsError that names the option and what it takes.
"""

import os
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Final

from accountsync.gate.account import seconds
from accountsync.gate.outlets import FileSays
from accountsync.gate.trust import Token, TokenError, is_loopback

DEFAULT_LISTEN: Final = "127.0.0.1:8711"
PORT_MAX: Final = 65535
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_NAME_CAP: Final = 253


class SettingsError(ValueError):
    """An option is wrong."""


@dataclass(frozen=True, slots=True)
class Settings:
    """As the options of `accountsync gate` are called; `checked` says whether they fit together. Empty: not given."""

    account: str
    namespace: str = ""
    kubeconfig: str = ""
    listen: str = DEFAULT_LISTEN
    token_file: Path | None = None
    without_token: bool = False
    token_for_all: bool = False
    file: Path | None = None
    file_says: FileSays = FileSays.PRESENCE
    signal: str = ""
    signal_open: str = ""
    pid: int | None = None
    pid_file: Path | None = None
    on_close: str = ""
    on_open: str = ""
    hook_timeout: str = "10s"

    def checked(self) -> "Settings":
        """The same. Raises SettingsError."""
        for option, name in (("--account", self.account), ("--namespace", self.namespace)):
            if name and (not _NAME.fullmatch(name) or len(name) > _NAME_CAP):
                raise SettingsError(f"{option}: {name[:60]!r} can't be a name: lower-case letters, digits, '-' and '.'")
        if not self.account:
            raise SettingsError("--account: expected the name of the TradingAccount")
        self._check_trust()
        self._check_signal()
        for option, command in (("--on-close", self.commands[0]), ("--on-open", self.commands[1])):
            if command and shutil.which(command[0]) is None:
                raise SettingsError(
                    f"{option}: there is no program {command[0]!r}; a command is started without a shell"
                )
        if not self.seconds_for_hooks:
            raise SettingsError("--hook-timeout: expected more than 0s")
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of `listen`. Raises SettingsError."""
        host, _, port = self.listen.rpartition(":")
        if not host or not port.isdecimal() or int(port) > PORT_MAX:
            raise SettingsError(f"--listen: {self.listen!r}: expected HOST:PORT, e.g. {DEFAULT_LISTEN}")
        return host.strip("[]"), int(port)

    @property
    def commands(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Of closing and of opening. Raises SettingsError."""
        try:
            return tuple(shlex.split(self.on_close)), tuple(shlex.split(self.on_open))
        except ValueError as error:
            raise SettingsError(f"--on-close, --on-open: {error}") from None

    @property
    def seconds_for_hooks(self) -> float:
        """Raises SettingsError."""
        try:
            return seconds(self.hook_timeout)
        except ValueError as error:
            raise SettingsError(f"--hook-timeout: {error}") from None

    @property
    def signals(self) -> tuple[Signals | None, Signals | None]:
        """Of closing and of opening. Raises SettingsError."""
        return _signal("--signal", self.signal), _signal("--signal-open", self.signal_open)

    def _check_trust(self) -> None:
        host, _ = self.address
        if self.token_file is not None:
            if self.without_token:
                raise SettingsError("give one of these: --token-file, --without-token")
            try:
                Token(self.token_file).read()
            except TokenError as error:
                raise SettingsError(f"--token-file: {error}") from None
        elif self.token_for_all:
            raise SettingsError("--token-for-all: needs --token-file")
        elif not is_loopback(host) and not self.without_token:
            raise SettingsError(
                f"--listen {self.listen} lets others than the bot's pod in: give --token-file, with which the operator"
                " reads /state; or --without-token, and they get no more than /gate, /metrics, /livez and /readyz"
            )

    def _check_signal(self) -> None:
        closing, opening = self.signals
        targets = (self.pid is not None) + (self.pid_file is not None)
        if opening and not closing:
            raise SettingsError("--signal-open: needs --signal")
        if closing and targets != 1:
            raise SettingsError("--signal: needs one of these: --pid, --pid-file")
        if targets and not closing:
            raise SettingsError("--pid, --pid-file: say with --signal what to send, e.g. USR1")
        if self.pid is not None and (self.pid <= 0 or self.pid == os.getpid()):
            raise SettingsError("--pid: expected the id of the bot's process")


def _signal(option: str, name: str) -> Signals | None:
    if not name:
        return None
    try:
        return Signals[name if name.startswith("SIG") else f"SIG{name}"]
    except KeyError:
        raise SettingsError(f"{option}: {name!r} is no signal: e.g. USR1") from None
