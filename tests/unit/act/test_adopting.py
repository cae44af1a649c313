"""A bot whose repair takes up all orders that it finds: a person's own order is left alone, and people are told."""

from dataclasses import replace

from tests.support.acting import PAUSE, Rig
from tests.support.fakes import BTC, ETH, truth

from accountsync.domain.plan import Phase


def adopting() -> Rig:
    """A bot that missed that 2 of its 5 BTC were sold."""
    rig = Rig(replace(PAUSE, order_id_prefix=""), repairs=True)
    assert rig.repairs is not None
    rig.repairs.adopts = True
    rig.exchange.hold(BTC, "5")
    rig.bot.state = truth(rig.exchange, rig.clock.now_ms())
    return rig


async def test_a_person_who_has_an_open_order_of_the_symbol_is_asked_instead() -> None:
    rig = adopting()
    await rig.settle()
    by_hand = rig.exchange.place(BTC, client_id="web_by_hand")
    rig.exchange.hold(BTC, "3")
    await rig.cycles(60)
    assert rig.stored == []
    assert f"order {by_hand.id} is open, which the bot does not speak of" in rig.now.blocked
    del rig.exchange.orders[BTC, by_hand.id]
    await rig.reach(Phase.DONE)
    assert [repair.symbol for action in rig.last.actions for repair in action.repairs] == [BTC]
    assert rig.now.blocked == ""


async def test_another_symbol_is_repaired_although_a_person_has_an_order_elsewhere() -> None:
    rig = adopting()
    await rig.settle()
    rig.exchange.place(ETH, client_id="web_by_hand")
    rig.exchange.hold(BTC, "3")
    await rig.reach(Phase.DONE)
