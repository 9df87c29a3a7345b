"""What is asked for: pools, their sizes and ends, and jobs, each one such that nothing but a fault could refuse it."""

import random
from collections.abc import Sequence

from activity.models import Account, Operation
from jobs.models import Job, JobDefinition
from jobs.operations import create_job
from pools.models import Image, Pool
from pools.operations import create_pool, delete_pool, resize_pool
from tests.local import new_mounts, new_pool

MOST_SIZED = 3
"""So many pools have nodes at a time, on which jobs really run."""


class Wishes:
    """Asks for one thing after the other. Of the pools, every third is only there to be deleted again."""

    def __init__(self, account: Account, image: Image, chance: random.Random) -> None:
        self.account, self.image, self.chance = account, image, chance
        self.operations: list[int] = []
        self.doomed: list[int] = []
        self.lasting: list[int] = []

    def ask(self) -> Operation:
        """Ask for one operation more; where the verb chosen has nothing to act on yet, for a pool."""
        verbs = (self._new_job, self._resize, self._delete, self._new_pool)
        (verb,) = self.chance.choices(verbs, weights=(40, 15, 15, 30))
        operation = verb() or self._new_pool()
        self.operations.append(operation.pk)
        return operation

    def _new_pool(self) -> Operation:
        number = len(self.doomed) + len(self.lasting)
        pool = new_pool(self.account, self.image, f"soak_{number:04}")
        operation = create_pool(pool, mounts=new_mounts(self.account), actor=None)
        (self.doomed if number % 3 == 2 else self.lasting).append(pool.pk)
        return operation

    def _new_job(self) -> Operation | None:
        pool = self._one_of(self._confirmed())
        if pool is None:
            return None
        revision = JobDefinition.objects.get(slug="gpu-check").current
        parameters = {"run_name": f"soak {len(self.operations)}"}
        return create_job(
            Job(account=self.account, revision=revision, pool=pool, parameters=parameters), actor=None
        )

    def _resize(self) -> Operation | None:
        pools = self._confirmed()
        sized = [pool for pool in pools if pool.dedicated_nodes]
        pool = self._one_of(sized if len(sized) >= MOST_SIZED else pools)
        if pool is None:
            return None
        return resize_pool(pool, dedicated=0 if pool.dedicated_nodes else 1, low_priority=0, actor=None)

    def _delete(self) -> Operation | None:
        """Delete a pool, whether or not it has been created by then."""
        living = Pool.objects.filter(pk__in=self.doomed, deletion_asked_at=None, deleted_at=None)
        pool = self._one_of(list(living.order_by("pk")))
        return delete_pool(pool, actor=None) if pool else None

    def _confirmed(self) -> list[Pool]:
        """Return the lasting pools that Azure has accepted: it would refuse a job for any other."""
        return list(Pool.objects.filter(pk__in=self.lasting).exclude(confirmed_at=None).order_by("pk"))

    def _one_of(self, pools: Sequence[Pool]) -> Pool | None:
        return self.chance.choice(pools) if pools else None
