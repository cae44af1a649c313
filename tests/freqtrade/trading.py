"""What freqtrade does by itself, without us: the facts that our reading of it, and our pausing, rest on.

It is run by `make test-freqtrade`, not by `make test`: each test starts a freqtrade.
"""

from decimal import Decimal

import pytest
from tests.freqtrade.bot import Freqtrade
from tests.freqtrade.venue import Venue
from tests.support.running import until

D = Decimal


def test_it_trades_live_and_learns_of_its_fill(bot: Freqtrade, venue: Venue) -> None:
    assert (bot.state, bot.open_trades) == ("running", [])
    trade = bot.holding()
    assert venue.position == D(repr(trade["amount"])) > 0
    assert [(write.path.rsplit("/", 1)[1], write.status) for write in venue.writes] == [
        ("marginType", 200),
        ("leverage", 200),
        ("order", 200),
    ]
    bot.exit(trade["trade_id"])
    until(lambda: bot.open_trades == [], "closed trade")
    assert venue.position == 0
    assert bot.get("trades")["trades"][0]["is_open"] is False
    assert venue.unknown_calls == set()


def test_a_short_is_told_without_a_sign(bot: Freqtrade, venue: Venue) -> None:
    trade = bot.holding("short")
    assert (trade["is_short"], venue.position) == (True, -D(repr(trade["amount"])))


def test_a_partial_fill_is_told_of_the_order_only(bot: Freqtrade, venue: Venue) -> None:
    bot.enter(price=60_000)
    venue.fill(D("0.010"))
    trade = until(lambda: next((one for one in bot.open_trades if one["orders"][0]["filled"]), None), "partial fill")
    (order,) = trade["orders"]
    assert (trade["amount"], order["filled"], order["amount"], order["is_open"]) == (0.0, 0.01, 0.033, True)
    assert order["order_id"] == str(venue.open_orders[0].order_id)
    assert not venue.open_orders[0].client_order_id.startswith(str(trade["trade_id"]))


def test_a_cancelled_entry_leaves_no_trace_and_its_number_is_used_again(bot: Freqtrade, venue: Venue) -> None:
    number = bot.enter(price=60_000)["trade_id"]
    answer = bot.ask("DELETE", f"trades/{number}/open-order")
    assert answer.status == 502, "it reports a failure, and has done it"
    until(lambda: not venue.open_orders, "cancelled order")
    assert (bot.open_trades, bot.get("trades")["trades"]) == ([], [])
    assert bot.enter(price=61_000)["trade_id"] == number


def test_a_pause_lets_exits_through_and_no_entry(bot: Freqtrade, venue: Venue) -> None:
    trade = bot.holding()
    for _ in range(2):
        bot.post("pause")
        assert bot.state == "paused"
    assert bot.ask("POST", "forceenter", {"pair": "ETH/USDT:USDT", "side": "long"}).status == 502
    before = bot.get("health")["last_process"]
    until(lambda: bot.get("health")["last_process"] != before, "loop while paused")
    bot.exit(trade["trade_id"])
    until(lambda: bot.open_trades == [], "exit while paused")
    assert (venue.position, bot.state) == (D(0), "paused")
    bot.post("start")
    assert bot.state == "running"


def test_a_stop_ends_its_loop_and_a_pause_would_start_it(bot: Freqtrade) -> None:
    bot.post("stop")
    assert bot.state == "stopped", "at once, whatever its loop is still about to do"
    until(lambda: "to: STOPPED" in bot.output, "loop that has stopped")
    started = bot.get("health")["bot_startup"]
    bot.post("pause")
    until(lambda: bot.get("health")["bot_startup"] != started, "bot that a pause has started")
    assert bot.state == "paused"


def test_a_restart_forgets_the_pause_and_keeps_the_trades(bot: Freqtrade) -> None:
    trade = bot.holding()
    bot.post("pause")
    before = bot.get("health")
    bot.restart()
    after = bot.get("health")
    assert bot.state == "running"
    assert [one["trade_id"] for one in bot.open_trades] == [trade["trade_id"]]
    assert after["bot_start"] == before["bot_start"], "kept in its database: no sign of a new process"
    assert after["bot_startup"] > before["bot_startup"]


def test_it_learns_of_a_liquidation_only_when_it_is_told_to_look(bot: Freqtrade, venue: Venue) -> None:
    trade = bot.holding()
    closed_by = venue.liquidate()
    bot.await_loops(3)
    assert [one["amount"] for one in bot.open_trades] == [trade["amount"]]
    assert venue.position == 0
    told = bot.post(f"trades/{trade['trade_id']}/reload")
    assert (told["is_open"], told["exit_reason"]) == (False, "sold_on_exchange")
    assert told["orders"][-1]["order_id"] == str(closed_by.order_id)
    assert bot.open_trades == []


def test_looking_takes_up_what_people_did_by_hand_too(bot: Freqtrade, venue: Venue) -> None:
    trade = bot.holding()
    by_hand = [venue.trade_by_hand("BUY", D("0.010")), venue.trade_by_hand("SELL", D("0.005"))]
    bot.await_loops(3)
    assert [one["amount"] for one in bot.open_trades] == [trade["amount"]]
    told = bot.post(f"trades/{trade['trade_id']}/reload")
    assert [row["order_id"] for row in told["orders"][1:]] == [str(order.order_id) for order in by_hand]
    assert D(repr(told["amount"])) == venue.position


def test_a_stop_order_that_was_triggered_is_learnt_without_a_word(protected_bot: Freqtrade, venue: Venue) -> None:
    protected_bot.holding()
    stop = protected_bot.stop_order()
    assert stop["order_id"] == str(venue.stop_orders[0].algo_id)
    venue.trigger_stop()
    until(lambda: protected_bot.open_trades == [], "trade that its stop has closed")
    assert venue.position == 0
    (told,) = protected_bot.get("trades")["trades"]
    assert told["exit_reason"] == "stoploss_on_exchange"
    assert venue.unknown_calls == set()


def test_a_look_that_finds_another_amount_replaces_the_stop_order(protected_bot: Freqtrade, venue: Venue) -> None:
    trade = protected_bot.holding()
    before = protected_bot.stop_order()["order_id"]
    venue.deleverage(D("0.010"))
    protected_bot.post("pause")
    protected_bot.post(f"trades/{trade['trade_id']}/reload")
    after = until(lambda: [one for one in venue.stop_orders if str(one.algo_id) != before], "new stop order")
    assert [one.quantity for one in after] == [venue.position]
    assert [D(repr(one["amount"])) for one in protected_bot.open_trades] == [venue.position]


@pytest.mark.parametrize(("password", "status"), [("wrong", 401), ("", 401)])
def test_a_wrong_password_is_refused_and_a_ping_needs_none(bot: Freqtrade, password: str, status: int) -> None:
    assert bot.ask("GET", "status", password=password).status == status
    assert bot.ask("GET", "ping", password=password).body == {"status": "pong"}
