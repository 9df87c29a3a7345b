"""Roles are granted per account or everywhere, and each includes those below it."""

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ValidationError

from activity import roles
from activity.models import Account, Membership
from activity.refusals import Refused

pytestmark = pytest.mark.django_db
Role = roles.Role


@pytest.fixture
def other(account: Account) -> Account:
    """Return a second account."""
    return Account.objects.create(
        slug="staging",
        batch_account="staging",
        batch_endpoint="https://127.0.0.1:9",
        mode=Account.Mode.OBSERVE,
    )


def test_a_role_counts_in_its_account_only(account: Account, other: Account, outsider: User) -> None:
    Membership.objects.create(user=outsider, account=account, role=Role.SUBMITTER)
    assert roles.role_of(outsider, account) == Role.SUBMITTER
    assert roles.role_of(outsider, other) is None
    assert [roles.can(outsider, account, role) for role in Role.values] == [True, True, False, False]
    assert list(roles.accounts_for(outsider)) == [account]


def test_the_highest_of_two_roles_counts(account: Account, viewer: User) -> None:
    Membership.objects.create(user=viewer, account=account, role=Role.OPERATOR)
    assert roles.role_of(viewer, account) == Role.OPERATOR


def test_superusers_are_admin_everywhere_and_strangers_nowhere(
    account: Account, admin: User, outsider: User
) -> None:
    assert roles.role_of(admin, account) == Role.ADMIN
    assert roles.role_of(outsider, account) is None
    assert roles.role_of(AnonymousUser(), account) is None
    assert not roles.accounts_for(AnonymousUser()).exists()
    admin.is_active = False
    assert roles.role_of(admin, account) is None


def test_refusals_say_what_is_missing(account: Account, other: Account, viewer: User, operator: User) -> None:
    with pytest.raises(Refused, match="needs the role operator") as refused:
        roles.require_change(viewer, account)
    assert refused.value.code == "role"
    roles.require_change(operator, account)
    with pytest.raises(Refused, match="observe only") as refused:
        roles.require_change(operator, other)
    assert refused.value.code == "observe_only"
    with pytest.raises(Refused, match="observe only"):
        roles.require_change(None, other)
    roles.require(None, other, Role.ADMIN)


def test_one_role_per_user_and_account(account: Account, viewer: User) -> None:
    with pytest.raises(ValidationError, match="every account"):
        Membership(user=viewer, account=None, role=Role.ADMIN).full_clean()


@pytest.mark.parametrize("slug", ["admin", "api", "healthz", "readyz", "static", "training", "accounts"])
def test_an_account_cannot_take_the_address_of_another_page(account: Account, slug: str) -> None:
    account.slug = slug
    with pytest.raises(ValidationError, match="another page"):
        account.full_clean()


def test_a_new_account_is_only_observed() -> None:
    assert Account().is_observe_only
