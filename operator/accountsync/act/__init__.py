"""What is done about confirmed findings: a plan, its intents, and what came of them. The only way out for an action.

In:  a cycle, the stored plans, what the resource allows. Out: `Remediation`: how far it is now, and what there is to
tell. `recall` comes before the cycle, `act` after what it decided was written.

Invariants:
1. Before anything leaves, the intent that says so is stored, by a write that only one process can make.
2. It leaves once: whatever the answer, nothing is sent a second time. What is not known is asked for, once the exchange
   would refuse a copy that is still on its way.
3. It leaves only from the owner of the account, in the time for which that is certain, while the Action hold stands.
4. A plan is followed only as long as the newest judgement still wants all of it; of a full reset, each action as long
   as what it is about is still there.
5. What can't be stored is not done; what can't be asked stays unknown.
"""

from accountsync.act.desk import Desk, Remediation, Told, concerned
from accountsync.act.resetting import stands
from accountsync.act.step import act, recall

__all__ = ["Desk", "Remediation", "Told", "act", "concerned", "recall", "stands"]
