"""Who may do what: roles are granted per account, or for all accounts at once."""

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Q, QuerySet

from activity.models import Account, Membership
from activity.refusals import Refused

Role = Membership.Role
# Who asks: a user, or None for the system itself.
Actor = User | None
_RANK: dict[str, int] = {role: rank for rank, role in enumerate(Role.values, start=1)}


def role_of(user: User | AnonymousUser | AbstractBaseUser, account: Account) -> str | None:
    """Return the highest role a user has in an account; superusers are admin everywhere."""
    if not isinstance(user, User) or not user.is_active:
        return None
    if user.is_superuser:
        return Role.ADMIN
    roles = Membership.objects.filter(Q(account=account) | Q(account__isnull=True), user=user)
    return max(roles.values_list("role", flat=True), key=_RANK.__getitem__, default=None)


def can(user: User | AnonymousUser | AbstractBaseUser, account: Account, role: str) -> bool:
    """Return whether a user's role in an account is at least this one."""
    found = role_of(user, account)
    return found is not None and _RANK[found] >= _RANK[role]


def accounts_for(user: User | AnonymousUser | AbstractBaseUser) -> QuerySet[Account]:
    """Return the accounts in which a user has any role."""
    if not isinstance(user, User) or not user.is_active:
        return Account.objects.none()
    everywhere = user.is_superuser or user.memberships.filter(account__isnull=True).exists()
    return Account.objects.all() if everywhere else Account.objects.filter(memberships__user=user)


def require(actor: Actor, account: Account, role: str) -> None:
    """Raise Refused unless the actor has at least this role; the system (None) always has."""
    if actor is not None and not can(actor, account, role):
        raise Refused(f"This needs the role {role} in {account}; ask an admin of the account for it.", "role")


def require_change(actor: Actor, account: Account, role: str = Role.OPERATOR) -> None:
    """Raise Refused unless the actor has the role and the account may be changed at all."""
    require(actor, account, role)
    if account.is_observe_only:
        raise Refused(
            f"{account} is set to observe only: nothing in it is changed from here. "
            "An admin can set its mode to full.",
            "observe_only",
        )
