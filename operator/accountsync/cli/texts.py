"""How the command line spells what a cluster holds: one line, safe for a terminal, times as an on-call person reads."""

from datetime import UTC, datetime

MINUTE, HOUR, DAY = 60, 3600, 86_400


def printable(text: str) -> str:
    """What a stranger wrote must not steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def moment(time: datetime) -> str:
    """A time in UTC to the second."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def age(time: datetime, now: datetime) -> str:
    """How long ago, in the two largest units; nothing is younger than 0s."""
    seconds = max(0, int((now - time).total_seconds()))
    for size, unit, rest, smaller in ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "m"), (MINUTE, "m", 1, "s")):
        if seconds >= size:
            return f"{seconds // size}{unit}{seconds % size // rest}{smaller}"
    return f"{seconds}s"


def count(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
