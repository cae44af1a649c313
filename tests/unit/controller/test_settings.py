"""How an operator process is set up from its environment."""

import re

import pytest

from accountsync.controller.settings import Settings

FLAGS = {
    "ACCOUNTSYNC_WATCH_SECRETS": "watch_secrets",
    "ACCOUNTSYNC_WATCH_CONFIGMAPS": "watch_configmaps",
    "GRINDER_ACCOUNT_SYNC_ENABLED": "sync_enabled",
}


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_env({}) == Settings()
    assert Settings() == Settings(
        namespaces=(),
        host="0.0.0.0",
        port=9090,
        allowed_endpoints=(),
        allowed_bot_urls=(),
        watch_secrets=True,
        watch_configmaps=True,
        max_concurrent=512,
        sync_enabled=True,
    )


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("ACCOUNTSYNC_NAMESPACES", "a,b", "namespaces", ("a", "b")),
        ("ACCOUNTSYNC_NAMESPACES", " a  b,\nc, ", "namespaces", ("a", "b", "c")),
        ("ACCOUNTSYNC_HOST", "127.0.0.1", "host", "127.0.0.1"),
        ("ACCOUNTSYNC_HOST", "", "host", "0.0.0.0"),
        ("ACCOUNTSYNC_PORT", "8080", "port", 8080),
        ("ACCOUNTSYNC_PORT", "0", "port", 0),
        ("ACCOUNTSYNC_PORT", " 65535 ", "port", 65535),
        ("ACCOUNTSYNC_PORT", "", "port", 9090),
        ("ACCOUNTSYNC_ALLOWED_ENDPOINTS", "http://a:1,http://b:2", "allowed_endpoints", ("http://a:1", "http://b:2")),
        ("ACCOUNTSYNC_ALLOWED_BOT_URLS", "http://a:1 http://b:2", "allowed_bot_urls", ("http://a:1", "http://b:2")),
        ("ACCOUNTSYNC_MAX_CONCURRENT", "1", "max_concurrent", 1),
        ("ACCOUNTSYNC_MAX_CONCURRENT", "100000", "max_concurrent", 100_000),
        ("ACCOUNTSYNC_LEASE_DURATION", "2s", "lease_duration", 2),
        ("ACCOUNTSYNC_LEASE_DURATION", " 300s ", "lease_duration", 300),
        ("ACCOUNTSYNC_LEASE_DURATION", "", "lease_duration", 15),
        ("ACCOUNTSYNC_IDENTITY", "one", "identity", "one"),
        ("POD_NAME", "accountsync-0", "identity", "accountsync-0"),
        ("POD_NAMESPACE", "ops", "own_namespace", "ops"),
    ],
)
def test_each_variable_sets_its_field(name: str, text: str, field: str, value: object) -> None:
    assert getattr(Settings.from_env({name: text}), field) == value


@pytest.mark.parametrize(("name", "field"), FLAGS.items())
@pytest.mark.parametrize("word", ["1", "true", "yes", "on", "TRUE", "Yes", " on "])
def test_the_runbooks_words_switch_on(name: str, field: str, word: str) -> None:
    assert getattr(Settings.from_env({name: word}), field) is True


@pytest.mark.parametrize(("name", "field"), FLAGS.items())
@pytest.mark.parametrize("word", ["0", "false", "no", "off", "FALSE", "Off", " no "])
def test_their_opposites_switch_off(name: str, field: str, word: str) -> None:
    assert getattr(Settings.from_env({name: word}), field) is False


@pytest.mark.parametrize(("name", "field"), FLAGS.items())
def test_an_empty_word_is_as_good_as_none(name: str, field: str) -> None:
    assert getattr(Settings.from_env({name: "  "}), field) is True


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *[(name, word) for name in FLAGS for word in ("2", "enabled", "tru", "yes please", "-")],
        *[("ACCOUNTSYNC_PORT", text) for text in ("-1", "65536", "http", "80.0", "+80", "1e3", "٨٠")],
        *[("ACCOUNTSYNC_MAX_CONCURRENT", text) for text in ("0", "100001", "many", "0x10")],
        *[("ACCOUNTSYNC_LEASE_DURATION", text) for text in ("1s", "301s", "15", "0.5s", "1m", "-5s", "٣s")],
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(name)}: expected "):
        Settings.from_env({name: text})


def test_an_identity_that_was_chosen_goes_before_the_name_of_the_pod() -> None:
    assert Settings.from_env({"ACCOUNTSYNC_IDENTITY": "one", "POD_NAME": "pod"}).identity == "one"


def test_other_variables_are_nobodys_business() -> None:
    assert Settings.from_env({"PATH": "/bin", "ACCOUNTSYNC_UNHEARD_OF": "x"}) == Settings()


def test_the_process_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCOUNTSYNC_PORT", "1234")
    assert Settings.from_env().port == 1234
