"""One number per account and topic that grows with each change, so that an unchanged page costs one read."""

from django.db import models

from activity.models.accounts import Account


class Revision(models.Model):
    """How often a topic (`pools`, `jobs`, `operations`, `job:<id>` …) of an account has changed."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="revisions")
    topic = models.CharField(max_length=200)
    number = models.PositiveBigIntegerField(default=1)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "topic"], name="one_number_per_topic")]

    def __str__(self) -> str:
        return f"{self.account_id}/{self.topic}: {self.number}"
