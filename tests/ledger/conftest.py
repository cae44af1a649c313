"""A second database server, which is killed and reconfigured, and connections to both."""

from collections.abc import AsyncIterator, Iterator

import pytest
from tests.support.postgres import Postgres, PostgresFiles

from accountsync.bot.address import AddressPolicy
from accountsync.bot.ledger.pool import Pools


@pytest.fixture(scope="session")
def victim(postgres_files: PostgresFiles) -> Iterator[Postgres]:
    """The one that is killed, made read-only, and given other certificates."""
    with Postgres(postgres_files, "victim") as server:
        yield server


@pytest.fixture
async def pools() -> AsyncIterator[Pools]:
    made = Pools(AddressPolicy(["postgres://127.0.0.1:*"]))
    yield made
    await made.close()
