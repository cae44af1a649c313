"""Which DSNs are taken, which databases may be reached by them, and that no part of one is ever told."""

import logging
import traceback

import pytest
from tests.ledger.desk import SOURCE, Desk
from tests.support.postgres import Postgres

from accountsync.bot.address import AddressPolicy
from accountsync.bot.http import Secret
from accountsync.bot.ledger.connecting import ForbiddenDatabaseError, connect
from accountsync.bot.ledger.dsn import Target, parse_dsn
from accountsync.bot.ledger.pool import Pools
from accountsync.bot.ledger.postgres import PostgresLedger
from accountsync.errors import AccountSyncError, BeliefUnobserved, ConfigurationError, Reason

ALLOWED = ("postgres://127.0.0.1:*", "postgres+tls://db.example.com:5432")
BODY = "postgresql://u:hunter2@db.example.com/d"


def parsed(dsn: str, *allowed: str, namespace: str = "trading", ca: str = "") -> Target:
    return parse_dsn(dsn, ca=ca, secret="grid-db", namespace=namespace, policy=AddressPolicy(allowed or ALLOWED))


REFUSED = {
    "": "expected postgresql://",
    "hunter2": "is no connection string",
    BODY + "?pgbouncer=true": "has a parameter that PostgreSQL does not know",
    BODY + "?options=-csearch_path%3Dx": "the parameter options is not taken: settings of the server are made here",
    BODY + "?sslrootcert=/etc/passwd": r"sslrootcert is not taken: put the certificates into .* ca\.crt",
    BODY + "?sslkey=/etc/passwd": "sslkey is not taken",
    BODY + "?passfile=/etc/passwd": "passfile is not taken: the password belongs into the DSN",
    BODY + "?hostaddr=169.254.169.254": "hostaddr is not taken",
    BODY + "?service=x": "service is not taken",
    BODY + "?target_session_attrs=any": "target_session_attrs is not taken: only application_name",
    "postgresql://u:hunter2@/d": "names no host; sockets",
    "postgresql://u:hunter2@%2Fvar%2Frun/d": "names no host; sockets",
    "host=@abstract user=u dbname=d": "names no host; sockets",
    "postgresql://u:hunter2@db.example.com,evil.example.com/d": "names several hosts",
    "postgresql://u:hunter2@db.example.com:5432,5433/d": "names several hosts",
    "postgresql://u:hunter2@db.example.com:0/d": "its port must be a number",
    "postgresql://u:hunter2@db_1.example.com/d": "must be a name of DNS",
    "postgresql://u:hunter2@0x7f.1/d": "must be a name of DNS",
    "postgresql://db.example.com/d": "names no user",
    "postgresql://u@db.example.com": "names no dbname",
    BODY + "?sslmode=disable": "its sslmode is weaker than verify-full",
    BODY + "?sslmode=prefer": "its sslmode is weaker than verify-full",
    BODY + "?sslmode=hunter2": "its sslmode is weaker than verify-full, or unknown",
}


@pytest.mark.parametrize("dsn", REFUSED)
def test_a_dsn_that_leads_elsewhere_or_is_none_is_refused(dsn: str) -> None:
    with pytest.raises(ConfigurationError, match=REFUSED[dsn]) as caught:
        parsed(dsn)
    assert caught.value.reason is Reason.SECRET_KEY_MISSING
    assert caught.value.message.startswith("Secret grid-db: dsn")
    assert "hunter2" not in "".join(traceback.format_exception(caught.value)).replace(repr(dsn), "")


@pytest.mark.parametrize(
    ("host", "namespace"),
    [
        ("other.example.com", "trading"),
        ("db.other.svc", "trading"),
        ("db", "trading"),
        ("x.db.trading.svc", "trading"),
        ("db.trading.svc.evil.com", "trading"),
        ("db.example.com:5433", "trading"),
        ("127.0.0.2", "trading"),
        ("localhost", "trading"),
    ],
)
def test_a_database_that_is_neither_of_the_namespace_nor_allowed_is_refused(host: str, namespace: str) -> None:
    with pytest.raises(ConfigurationError, match=r"allow it as postgres\+tls://") as caught:
        parsed(f"postgresql://u:hunter2@{host}/d", namespace=namespace)
    assert caught.value.reason is Reason.BOT_ADDRESS_NOT_ALLOWED
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize("address", ["169.254.169.254", "[fd00:ec2::254]", "0.0.0.0", "100.100.100.200"])
def test_no_allow_list_allows_a_metadata_service(address: str) -> None:
    with pytest.raises(ConfigurationError, match="no allow-list allows it"):
        parsed(f"postgresql://u:p@{address}/d", f"postgres://{address}:*")


@pytest.mark.parametrize("host", ["db.trading", "db.trading.svc", "DB.trading.svc.cluster.local", "db.example.com"])
@pytest.mark.parametrize("mode", ["", "?sslmode=require", "?sslmode=verify-ca", "?sslmode=verify-full"])
def test_tls_is_verified_whatever_the_dsn_says(host: str, mode: str) -> None:
    target = parsed(f"postgresql://u:p%40ss@{host}/d{mode}")
    assert (target.sslmode, target.host, target.port, target.password) == ("verify-full", host.lower(), 5432, "p@ss")
    assert target.lookup == ("db.trading.svc" if host == "db.trading" else host.lower())


def test_only_a_plain_entry_of_the_allow_list_lets_the_dsn_do_without_tls() -> None:
    assert parsed("postgresql://u@127.0.0.1:9/d").sslmode == "verify-full"
    assert parsed("postgresql://u@127.0.0.1:9/d?sslmode=disable").sslmode == "disable"
    assert parsed("host=127.0.0.1 port=9 user=u dbname=d sslmode=require").sslmode == "require"


def test_nothing_of_a_target_is_in_its_repr() -> None:
    text = repr(parsed(BODY + "?application_name=hushed"))
    assert not any(word in text for word in ("hunter2", "example", "'u'", "'d'", "5432", "hushed"))


def test_a_ca_that_is_no_certificate_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"ca\.crt holds no certificate: expected PEM"):
        parsed(BODY, ca="hunter2")


async def test_a_name_that_stands_for_loopback_is_not_dialled() -> None:
    target = parsed("postgresql://u:p@localhost/d", "postgres+tls://localhost:5432")
    with pytest.raises(ForbiddenDatabaseError):
        await connect(target, AddressPolicy(["http://localhost:*", "postgres://127.0.0.1:*"]), 5)


async def told(postgres: Postgres, pools: Pools, dsn: str) -> AccountSyncError:
    with pytest.raises(AccountSyncError) as caught:
        await Desk.opened(postgres, filled=False).ledger(pools, dsn=lambda: dsn, timeout=5).read()
    return caught.value


async def test_who_is_not_let_in_is_told_without_a_word_of_the_dsn(
    postgres: Postgres, pools: Pools, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    nobody = postgres.dsn(user="hushed_user")
    closed = postgres.dsn(port=1)
    elsewhere = postgres.dsn().replace("/postgres", "/hushed_database")
    expected = {
        nobody: (Reason.BOT_REFUSED, "does not let the DSN's user in"),
        closed: (Reason.BOT_UNREACHABLE, "no connection to the database: does it run"),
        elsewhere: (Reason.STATE_NOT_FOUND, "there is no database of the DSN's dbname"),
    }
    for dsn, (reason, text) in expected.items():
        error = await told(postgres, pools, dsn)
        assert error.reason is reason, error.message
        assert error.message.startswith(SOURCE)
        assert text in error.message
        everything = "".join(traceback.format_exception(error)) + caplog.text
        assert not any(word in everything for word in ("hushed", "secret-password", "127.0.0.1", str(postgres.port)))


async def test_a_secret_that_was_rotated_counts_with_the_next_reading(postgres: Postgres, pools: Pools) -> None:
    desk = Desk.opened(postgres)
    dsn = postgres.dsn(user="gone_since")
    ledger = desk.ledger(pools, dsn=lambda: dsn)
    with pytest.raises(BeliefUnobserved):
        await ledger.read()
    dsn = postgres.dsn()
    assert (await ledger.read()).orders


async def test_a_secret_that_is_not_there_passes_through(pools: Pools) -> None:
    async def secret() -> Secret:
        raise ConfigurationError(Reason.SECRET_NOT_FOUND, "Secret trading/grid-db: not found")

    ledger = PostgresLedger(
        pools, secret, secret_name="grid-db", namespace="trading", profile="grid", source=SOURCE, timeout=1
    )
    with pytest.raises(ConfigurationError, match="Secret trading/grid-db: not found"):
        await ledger.read()


async def test_accounts_of_one_database_share_its_few_connections(postgres: Postgres, pools: Pools) -> None:
    desk = Desk.opened(postgres)
    ledgers = [desk.ledger(pools, profile=f"p-{number}") for number in range(20)]
    for ledger in ledgers:
        await ledger.read()
    mine = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'accountsync'"
    assert postgres.run(mine) == [(1,)]
