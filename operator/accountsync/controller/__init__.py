"""The Kubernetes side: kopf's events in, cycles of each account, status and Events out.

Importing this package registers the handlers in kopf's default registry, for `kopf run -m accountsync.controller`;
`accountsync operator` uses a registry of its own.
"""

from accountsync.controller.handlers import register_default

register_default()
