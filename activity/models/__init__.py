"""The rows that every other app leans on."""

from activity.models.accounts import Account, Credential, Membership
from activity.models.operations import Operation
from activity.models.revisions import Revision
from activity.models.sync import SyncRun, SyncTarget

__all__ = ["Account", "Credential", "Membership", "Operation", "Revision", "SyncRun", "SyncTarget"]
