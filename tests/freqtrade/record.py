"""Writes what the real freqtrade answers at each moment of a trade's life into tests/bot/freqtrade/.

    python -m tests.freqtrade.record

`make test` reads those files, so that our reading of them is tested without a freqtrade; `make test-freqtrade` has the
real one. A file holds {"moment": a sentence, "answers": {path: {"status", "body"}}}; tokens are left out, and of
show_config all fields that have no bearing on a belief.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

from tests.freqtrade.bot import PAIR, Answer, Body, Freqtrade
from tests.freqtrade.environment import freqtrade
from tests.freqtrade.venue import Venue
from tests.support.progress import say
from tests.support.running import until

from accountsync.simulator.thread import SimulatorThread

FOLDER = Path(__file__).parents[1] / "bot" / "freqtrade"
PATHS = ("health", "show_config", "status", "count", "trades?limit=50&offset=0&order_by_id=false")
TOLD = (
    *("version", "api_version", "bot_name", "state", "runmode", "dry_run", "trading_mode", "margin_mode"),
    *("exchange", "stake_currency", "strategy", "timeframe", "force_entry_enable"),
)
"""Fields of show_config."""
Story = Iterator[tuple[str, str]]


def main() -> None:
    stories: list[Callable[[Freqtrade, Venue], Story]] = [a_long_trade, a_short_trade, a_stop_order]
    FOLDER.mkdir(exist_ok=True)
    with SimulatorThread() as exchange, tempfile.TemporaryDirectory(prefix="accountsync-freqtrade-") as root:
        exchange.call(lambda sim: setattr(sim.limits, "weight_per_minute", 1_000_000))
        for story in stories:
            folder = Path(root) / story.__name__
            folder.mkdir()
            venue = Venue.open(exchange, story.__name__, Decimal(10_000))
            stop_orders = story is a_stop_order
            with Freqtrade(freqtrade(), folder, venue.url, venue.trade_key, stop_orders=stop_orders) as bot:
                for name, moment in story(bot, venue):
                    write(name, moment, {path: bot.ask("GET", path) for path in PATHS})
                if story is a_short_trade:
                    refusals(bot)


def a_long_trade(bot: Freqtrade, venue: Venue) -> Story:
    yield "fresh", "started for the first time"
    number = bot.enter(price=64_000)["trade_id"]
    bot.await_loops()
    yield "entry-open", "an entry order rests in the book"
    venue.fill(Decimal("0.010"))
    until(lambda: bot.open_trades[0]["orders"][0]["filled"], "partial fill")
    bot.await_loops()
    yield "entry-partly-filled", "a part of the entry order is filled"
    venue.fill()
    until(lambda: bot.open_trades[0]["amount"], "filled entry")
    bot.await_loops()
    yield "entry-filled", "the entry order is filled"
    bot.exit(number, price=66_000)
    bot.await_loops()
    yield "exit-open", "an exit order rests in the book"
    venue.fill()
    until(lambda: bot.open_trades == [], "closed trade")
    bot.await_loops()
    yield "closed", "the exit order is filled"


def a_short_trade(bot: Freqtrade, venue: Venue) -> Story:
    number = bot.holding("short")["trade_id"]
    bot.await_loops()
    yield "short", "a short trade, filled at the market"
    bot.post("pause")
    bot.await_loops()
    yield "paused", "after POST /pause"
    venue.liquidate()
    bot.await_loops()
    yield "liquidated", "the exchange has closed the position by force, and nobody told the bot"
    bot.post(f"trades/{number}/reload")
    bot.await_loops()
    begun = bot.get("health")["bot_startup"]
    yield "reloaded", "after POST /trades/{id}/reload"
    venue.delay("/fapi/v1/klines", seconds=5)
    bot.restart(ready=lambda health: health["bot_startup"] != begun)
    yield "starting", "a new process that has not been through its loop"
    venue.obey()
    bot.await_loops()
    bot.post("stop")
    until(lambda: "to: STOPPED" in bot.output, "loop that has stopped")
    yield "stopped", "after POST /stop"


def a_stop_order(bot: Freqtrade, _venue: Venue) -> Story:
    bot.holding()
    bot.stop_order()
    bot.await_loops()
    yield "stop-order", "a trade with a stop-loss order at the exchange"


def refusals(bot: Freqtrade) -> None:
    """What it says no to."""
    known = bot.ask("POST", "token/login")
    assert known.status == 200
    without = Answer(known.status, dict.fromkeys(known.body, "left out"))
    answers = {
        "token/login": without,
        "token/login with a wrong password": bot.ask("POST", "token/login", password="wrong"),
        "status with a wrong token": bot.ask("GET", "status", headers={"Authorization": "Bearer wrong"}),
        "forceenter while stopped": bot.ask("POST", "forceenter", {"pair": PAIR, "side": "long"}),
        "trades/99/reload": bot.ask("POST", "trades/99/reload"),
        "trade/99": bot.ask("GET", "trade/99"),
        "nothing": bot.ask("GET", "nothing"),
        "stop": bot.ask("POST", "stop"),
        "pause": bot.ask("POST", "pause"),
    }
    write("refusals", "calls that sign in, that are refused, and that hold and resume a stopped bot", answers)


def write(name: str, moment: str, answers: dict[str, Answer]) -> None:
    """One file."""
    rows = {path: {"status": answer.status, "body": trimmed(path, answer.body)} for path, answer in answers.items()}
    text = json.dumps({"moment": moment, "answers": rows}, indent=1)
    (FOLDER / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
    say(f"{name}: {moment}")


def trimmed(path: str, body: Body) -> Body:
    """Without what nobody reads."""
    return {name: body[name] for name in TOLD} if path == "show_config" and "state" in body else body


if __name__ == "__main__":
    main()
