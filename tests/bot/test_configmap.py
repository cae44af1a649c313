import json
from collections.abc import Mapping

import pytest
from tests.bot.documents import AS_OF_MS, document

from accountsync.bot.configmap import ConfigMapState
from accountsync.errors import BeliefUnobserved, Reason
from accountsync.ports import BotState


def state_in(data: Mapping[str, str] | None) -> BotState:
    async def read() -> Mapping[str, str] | None:
        return data

    return ConfigMapState(read, namespace="trading", name="grid-btc-state", key="state.json")


async def refusal(state: BotState) -> BeliefUnobserved:
    with pytest.raises(BeliefUnobserved) as caught:
        await state.read()
    return caught.value


async def test_the_belief_is_read_from_its_key() -> None:
    state = await state_in({"state.json": json.dumps(document()), "other": "x"}).read()
    assert state.as_of == AS_OF_MS


async def test_a_missing_configmap_and_a_missing_key_are_told_apart() -> None:
    missing, keyless = await refusal(state_in(None)), await refusal(state_in({"STATE.json": "{}"}))
    for error in (missing, keyless):
        assert error.reason is Reason.STATE_NOT_FOUND
        assert "trading/grid-btc-state" in error.message
        assert "state.json" in error.message
    assert "spec.bot.state.configMap.name" in missing.message
    assert "spec.bot.state.configMap.key" in keyless.message


@pytest.mark.parametrize("text", ["", "{", "\ud800", "null"])
async def test_a_malformed_belief_names_configmap_and_key(text: str) -> None:
    error = await refusal(state_in({"state.json": text}))
    assert error.reason is Reason.STATE_MALFORMED
    assert error.message.startswith("ConfigMap trading/grid-btc-state key state.json: the document ")


async def test_what_the_reader_raises_passes() -> None:
    async def read() -> Mapping[str, str] | None:
        raise BeliefUnobserved(Reason.STATE_FORBIDDEN, "forbidden")

    error = await refusal(ConfigMapState(read, namespace="trading", name="grid-btc-state", key="state.json"))
    assert error.reason is Reason.STATE_FORBIDDEN
