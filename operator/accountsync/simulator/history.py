"""Past answers, so that a stale one can be given: what this key was told earlier for the very same question.

Only answers that differ from the one before are kept, since an unchanged answer was true all along. The whole history
is bounded in bytes; the questions asked longest ago are forgotten first.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

UNTOLD = frozenset({"timestamp", "signature", "recvWindow"})
DEFAULT_BYTES = 64 * 1024 * 1024
ANSWERS_PER_QUESTION = 64

Question = tuple[str, str, str, tuple[tuple[str, str], ...]]


def question(key: str, method: str, path: str, params: Mapping[str, str]) -> Question:
    """What makes two requests the same: all but timestamp, signature and recvWindow."""
    told = tuple(sorted((name, value) for name, value in params.items() if name not in UNTOLD))
    return key, method, path, told


@dataclass(slots=True)
class History:
    """Answers by question, each with the time (ms) from which it was true."""

    max_bytes: int = DEFAULT_BYTES
    _answers: OrderedDict[Question, list[tuple[int, bytes]]] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def remember(self, asked: Question, now_ms: int, body: bytes) -> None:
        """Keep `body` if it says something new."""
        past = self._answers.setdefault(asked, [])
        self._answers.move_to_end(asked)
        if past and past[-1][1] == body:
            return
        past.append((now_ms, body))
        self._bytes += len(body)
        if len(past) > ANSWERS_PER_QUESTION:
            self._bytes -= len(past.pop(0)[1])
        while self._bytes > self.max_bytes and len(self._answers) > 1:
            _, dropped = self._answers.popitem(last=False)
            self._bytes -= sum(len(old) for _, old in dropped)

    def as_of(self, asked: Question, moment_ms: int) -> bytes | None:
        """The newest answer from `moment_ms` or before, else the oldest there is, else None."""
        past = self._answers.get(asked)
        if not past:
            return None
        return next((body for since, body in reversed(past) if since <= moment_ms), past[0][1])
