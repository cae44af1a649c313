"""The freqtrade bots of all accounts: their addresses, their Secrets, and what is kept between two questions.

Kept is the access token of each, as long as its account names the same address and Secret.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp

from accountsync.api.v1alpha1 import TradingAccount
from accountsync.bot.address import AddressPolicy
from accountsync.bot.freqtrade import FIELD, ROOT, SECRET_FIELD, FreqtradeApi
from accountsync.controller.secrets import BOT, SecretStore

Session = Callable[[], aiohttp.ClientSession]


@dataclass(frozen=True, slots=True)
class _Made:
    recipe: tuple[object, ...]
    api: FreqtradeApi


class Freqtrades:
    """Makes and keeps them. `session`: gives the session that all bots share."""

    def __init__(self, addresses: AddressPolicy, secrets: SecretStore, session: Session) -> None:
        self._addresses = addresses
        self._secrets = secrets
        self._session = session
        self._made: dict[str, _Made] = {}

    def of(self, account: TradingAccount) -> FreqtradeApi:
        """The API of the bot of `account`, whose state is freqtrade's. Raises ConfigurationError."""
        spec, namespace = account.spec.bot.state.freqtrade, account.metadata.namespace
        assert spec is not None, "only accounts with freqtrade have one"
        if spec.service is not None:
            root = self._addresses.service(
                namespace=namespace,
                name=spec.service.name,
                port=spec.service.port,
                path=ROOT,
                scheme=spec.service.scheme.value,
                field=f"{FIELD}.service",
            )
            source = f"Service {namespace}/{spec.service.name}"
        else:
            root = self._addresses.url(f"{(spec.url or '').rstrip('/')}{ROOT}", field=f"{FIELD}.url")
            source = f"{FIELD}.url"
        name = spec.secret_ref.name
        recipe = (root, namespace, name, account.spec.effective_timeout())
        made = self._made.get(account.metadata.uid)
        if made is None or made.recipe != recipe:

            async def credentials() -> Mapping[str, str]:
                return await self._secrets.read(namespace, name, BOT, SECRET_FIELD)

            timeout = account.spec.effective_timeout()
            api = FreqtradeApi(
                self._session(), root, source=source, timeout=timeout, secret=credentials, secret_name=name
            )
            made = self._made[account.metadata.uid] = _Made(recipe, api)
        return made.api

    def forget(self, uid: str) -> None:
        """An account is gone."""
        self._made.pop(uid, None)
