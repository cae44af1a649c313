"""The table of exchanges that were run, and the page that is made of it."""

from accountsync.cli.docs import exchanges
from accountsync.exchange.library import exchange_ids
from accountsync.exchange.tested import TESTED, untested
from accountsync.exchange.venue import DIALECTS


def test_every_exchange_that_was_run_is_one_that_ccxt_knows() -> None:
    assert set(TESTED) <= set(exchange_ids())


def test_an_exchange_whose_raw_answers_are_read_was_run() -> None:
    assert [exchange for exchange in DIALECTS if untested(exchange)] == []


def test_the_page_lists_each_of_them_and_what_holds_for_the_others() -> None:
    page = exchanges()
    assert [exchange for exchange in TESTED if f"| {exchange} | " not in page] == []
    assert "| every other | never run" in page
    assert "`ExchangeUntested`" in page
