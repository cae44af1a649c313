"""The ledgers of all accounts that have one. Importing this takes PostgreSQL's driver into memory, some 20 MiB."""

from collections.abc import Mapping

from accountsync.api.v1alpha1 import TradingAccount
from accountsync.bot.address import AddressPolicy
from accountsync.bot.ledger.pool import Pools
from accountsync.bot.ledger.postgres import PostgresLedger
from accountsync.controller.secrets import BOT, SecretStore
from accountsync.ports import BotState, Ledger

LEDGER_SECRET = "spec.bot.state.postgres.secretRef"  # noqa: S105 - a path


class Ledgers:
    """Makes the state of accounts that name a ledger; they share connections."""

    def __init__(self, addresses: AddressPolicy, secrets: SecretStore) -> None:
        self._pools = Pools(addresses)
        self._secrets = secrets

    def of(self, account: TradingAccount) -> PostgresLedger:
        """The state and the ledger of `account`, which names one."""
        spec, namespace = account.spec.bot.state.postgres, account.metadata.namespace
        assert spec is not None, "only such an account has a ledger"
        secret = spec.secret_ref.name

        async def credentials() -> Mapping[str, str]:
            return await self._secrets.read(namespace, secret, BOT, LEDGER_SECRET)

        return PostgresLedger(
            self._pools,
            credentials,
            secret_name=secret,
            namespace=namespace,
            profile=spec.profile,
            schema=spec.schema_,
            source=f"the ledger of profile {spec.profile}",
            timeout=account.spec.effective_timeout(),
        )

    @staticmethod
    def behind(bot: BotState) -> Ledger | None:
        """The ledger that `bot` is read from; None: it is read from none."""
        return bot if isinstance(bot, PostgresLedger) else None

    async def close(self) -> None:
        """Close all connections."""
        await self._pools.close()
