"""Fill the local Azure of a demo: galaxies and scripts, images, a pool, and a training job that really runs."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from activity import gateways
from activity.models import Account
from dashboard.local_azure import SLUG
from jobs.models import Job, JobDefinition
from jobs.operations import create_job
from pools.models import Image, Pool, Registry, StorageAccount, StorageMount, VmImage, VmSize
from pools.operations import create_pool

try:
    from examples.catalogue.writer import BASE_CHECKPOINT, CATALOGUE
    from examples.images import REPOSITORY, TAG, demo_images
    from examples.registry import RegistryClient
except ModuleNotFoundError:
    # An installation for real work has neither the local Azure nor anything to put into it.
    HAS_EXAMPLES = False
else:
    HAS_EXAMPLES = True

POOL, DEFINITION, SIZE = "training_1", "zoobot-training", "Standard_NC4as_T4_v3"
CONTAINERS = ("training", "predictions", "models")
PATIENCE = 120.0
Found = TypeVar("Found")


class Command(BaseCommand):
    """Make what a newcomer finds; what is there already is left alone."""

    help = "Fill the local Azure with the demo's data, images, pool and job. May be repeated."

    def handle(self, *args: Any, **options: Any) -> None:
        """Upload files and images, then ask for the pool and the job by the same door as everybody."""
        account = Account.objects.filter(slug=SLUG).first()
        if not settings.IS_DEMO or not HAS_EXAMPLES or account is None:
            raise CommandError("There is no local Azure to fill: this is for `make run`.")
        if not Pool.objects.for_account(account).filter(batch_id=POOL).exists():
            self._upload_files(account)
            self._push_images(account)
            create_pool(_pool(account), mounts=_mounts(account), actor=None, reason="demo")
            self.stdout.write(f"pool {POOL} is asked for")
        pool = Pool.objects.for_account(account).filter(batch_id=POOL).latest("created_at")
        if not pool.is_deleted and not Job.objects.filter(pool=pool).exists():
            job = _job(account, pool)
            create_job(job, actor=None, reason="demo")
            self.stdout.write(f"training job {job.batch_id} is asked for")

    def _upload_files(self, account: Account) -> None:
        """Write catalogue, images, scripts and base checkpoint into their containers."""
        storage = StorageAccount.objects.get(account=account, is_default=True)
        gateway = gateways.storage_gateway(
            account, name=storage.name, endpoint=storage.address, credential=storage.credential
        )
        with tempfile.TemporaryDirectory() as name:
            # In a process of its own: the pictures need libraries that nothing here should keep in memory.
            subprocess.run(
                [sys.executable, "-m", "examples.catalogue", name], check=True, cwd=settings.BASE_DIR
            )
            for container in CONTAINERS:
                gateway.ensure_container(container)
                folder = Path(name, container)
                files = sorted(path for path in folder.rglob("*") if path.is_file())
                for path in files:
                    gateway.upload(container, path.relative_to(folder).as_posix(), path.read_bytes())
                self.stdout.write(f"{len(files)} files are in the container {container}")

    def _push_images(self, account: Account) -> None:
        """Push the sample images, and read the registry so that they can be chosen."""
        registry = Registry.objects.get(account=account, is_default=True)
        credential = registry.credential
        if credential is None:
            raise CommandError(f"{registry} has no user to push with.")
        client = RegistryClient(
            registry.address,
            credential.username,
            gateways.reveal(credential),
            settings.ZOOBATCH_CA_BUNDLE or None,
        )
        for repository, tag, source in demo_images():
            client.push(repository, tag, source)
        call_command("sync", account.slug, kind=["registry", "vm_images"])
        _wait(lambda: _image(account), f"image {REPOSITORY}:{TAG}")
        self.stdout.write("the sample images are in the registry")


def _image(account: Account) -> Image | None:
    images = Image.objects.alive().filter(repository__registry__account=account)
    return images.filter(repository__name=REPOSITORY, tag=TAG).select_related("repository__registry").first()


def _pool(account: Account) -> Pool:
    image = _wait(lambda: _image(account), "the image")
    offered = VmImage.objects.for_account(account).alive().for_containers()
    vm_image = _wait(lambda: offered.first(), "a node image")
    return Pool(
        account=account,
        batch_id=POOL,
        title="Zoobot training",
        container_image=f"{image.repository.registry.login_server}/{REPOSITORY}:{TAG}",
        vm_image=vm_image,
        size=VmSize.objects.get(name=SIZE),
        dedicated_nodes=1,
    )


def _mounts(account: Account) -> list[StorageMount]:
    storage = StorageAccount.objects.get(account=account, is_default=True)
    return [
        StorageMount(storage=storage, container_name=name, relative_mount_path=name) for name in CONTAINERS
    ]


def _job(account: Account, pool: Pool) -> Job:
    definition = JobDefinition.objects.select_related("current").get(slug=DEFINITION)
    return Job(
        account=account,
        revision=definition.current,
        pool=pool,
        title="Hubble Deep Field, first training",
        parameters={"catalogue": CATALOGUE, "checkpoint": BASE_CHECKPOINT, "run_name": "demo"},
    )


def _wait(look: Callable[[], Found | None], what: str) -> Found:
    """Return what is found once it is there; a worker may be reading it at this moment."""
    end = time.monotonic() + PATIENCE
    while (found := look()) is None:
        if time.monotonic() > end:
            raise CommandError(f"{what} did not appear within {PATIENCE:g} s.")
        time.sleep(0.5)
    return found
