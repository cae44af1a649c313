"""The reconciliation run over a bot's ledger: what the exchange proved is brought into it, over ports.

`run` is one of them, after a cycle. Nothing here knows Kubernetes, a metric or a database.
"""

from accountsync.reconcile.book import Book, Change, Run, Stopped, Task
from accountsync.reconcile.run import run

__all__ = ["Book", "Change", "Run", "Stopped", "Task", "run"]
