"""What pools and jobs are made from: container images, VM sizes, node images, storage accounts."""

from datetime import date, datetime
from typing import Self

from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower

from .seen import ObservedQuerySet, SeenModel

TIMES = "\N{MULTIPLICATION SIGN}"

host_validator = RegexValidator(
    r"\A[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?\Z",
    "Give the host name alone, such as example.azurecr.io.",
    code="host",
)
storage_name_validator = RegexValidator(
    r"\A[a-z0-9]{3,24}\Z",
    "A storage account's name has 3 to 24 lower-case letters and digits.",
    code="storage_name",
)


class OwnedQuerySet(models.QuerySet):
    """Rows that belong to a Batch account."""

    def for_account(self, account: models.Model) -> Self:
        """Keep one account's rows."""
        return self.filter(account=account)


class Registry(models.Model):
    """A container registry that an account's pools pull from.

    `login_server` is what image names say, `endpoint` where it is reached; without a credential the
    account's own identity is used.
    """

    account = models.ForeignKey("activity.Account", models.CASCADE, related_name="registries")
    login_server = models.CharField(max_length=253, validators=[host_validator])
    endpoint = models.URLField(blank=True, help_text="Where it is reached; empty means https://login-server.")
    credential = models.ForeignKey(
        "activity.Credential", models.PROTECT, null=True, blank=True, related_name="+"
    )
    is_default = models.BooleanField(default=False)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "registries"
        ordering = ["login_server"]
        constraints = [
            models.UniqueConstraint(
                "account",
                Lower("login_server"),
                name="registry_once_per_account",
                violation_error_message="This account has that registry already.",
            ),
            models.UniqueConstraint(
                fields=["account"], condition=models.Q(is_default=True), name="one_default_registry"
            ),
        ]

    def __str__(self) -> str:
        return self.login_server

    @property
    def address(self) -> str:
        """Where its API is reached."""
        return self.endpoint or f"https://{self.login_server}"


class StorageAccount(models.Model):
    """A storage account whose containers are mounted on nodes and hold results."""

    account = models.ForeignKey("activity.Account", models.CASCADE, related_name="storage_accounts")
    name = models.CharField(max_length=24, validators=[storage_name_validator])
    endpoint = models.URLField(
        blank=True, help_text="Address of its blob service; empty means https://NAME.blob.core.windows.net."
    )
    credential = models.ForeignKey(
        "activity.Credential", models.PROTECT, null=True, blank=True, related_name="+"
    )
    is_default = models.BooleanField(default=False)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "name"],
                name="storage_once_per_account",
                violation_error_message="This account has that storage account already.",
            ),
            models.UniqueConstraint(
                fields=["account"], condition=models.Q(is_default=True), name="one_default_storage"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def address(self) -> str:
        """Where its blob service is reached."""
        return self.endpoint or f"https://{self.name}.blob.core.windows.net"


class Repository(SeenModel):
    """A repository of a registry, as the registry shows it."""

    registry = models.ForeignKey(Registry, models.CASCADE, related_name="repositories")
    name = models.CharField(max_length=255)
    created_on = models.DateTimeField(null=True, blank=True)
    last_updated_on = models.DateTimeField(null=True, blank=True)
    manifest_count = models.PositiveIntegerField(null=True, blank=True)
    tag_count = models.PositiveIntegerField(null=True, blank=True)

    objects = ObservedQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "repositories"
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["registry", "name"], name="repository_once")]

    def __str__(self) -> str:
        return self.name


class ImageQuerySet(ObservedQuerySet):
    """Images and how they are named."""

    def tagged(self) -> Self:
        """Keep images that a tag points at."""
        return self.exclude(tag="")

    def for_account(self, account: models.Model) -> Self:
        """Keep images of an account's registries."""
        return self.filter(repository__registry__account=account)


class Image(SeenModel):
    """A tag and the digest it points at now, or (without a tag) a digest that nothing points at."""

    repository = models.ForeignKey(Repository, models.CASCADE, related_name="images")
    tag = models.CharField(max_length=128, blank=True)
    digest = models.CharField(max_length=80)
    previous_digest = models.CharField(max_length=80, blank=True)  # before the tag moved
    moved_at = models.DateTimeField(null=True, blank=True)
    size_in_bytes = models.BigIntegerField(null=True, blank=True)
    created_on = models.DateTimeField(null=True, blank=True)
    last_updated_on = models.DateTimeField(null=True, blank=True)
    architecture = models.CharField(max_length=40, blank=True)
    operating_system = models.CharField(max_length=40, blank=True)
    cuda_version = models.CharField(max_length=40, blank=True)
    minimum_cuda = models.CharField(max_length=40, blank=True)
    facts = models.JSONField(default=dict, blank=True)  # of the image's config, secrets masked
    facts_digest = models.CharField(max_length=80, blank=True)  # the digest the facts were read from

    objects = ImageQuerySet.as_manager()

    class Meta:
        ordering = ["repository__name", "-last_updated_on", "tag"]
        constraints = [
            models.UniqueConstraint(
                fields=["repository", "tag"], condition=~models.Q(tag=""), name="image_tag_once"
            ),
            models.UniqueConstraint(
                fields=["repository", "digest"], condition=models.Q(tag=""), name="image_untagged_once"
            ),
        ]
        indexes = [
            models.Index(fields=["repository", "digest"], name="image_digest"),
            models.Index(fields=["repository", "-last_updated_on"], name="image_pushed"),
        ]

    def __str__(self) -> str:
        return (
            f"{self.repository.name}:{self.tag}"
            if self.tag
            else f"{self.repository.name}@{self.short_digest}"
        )

    @property
    def reference(self) -> str:
        """Its full name by tag (by digest when it has none); reads repository and registry."""
        if not self.tag:
            return self.pinned
        return f"{self.repository.registry.login_server}/{self.repository.name}:{self.tag}"

    @property
    def pinned(self) -> str:
        """Its full name by digest, as Batch takes it; reads repository and registry."""
        return f"{self.repository.registry.login_server}/{self.repository.name}@{self.digest}"

    @property
    def short_digest(self) -> str:
        """The digest's first twelve digits."""
        return self.digest.removeprefix("sha256:")[:12]

    @property
    def platform(self) -> str:
        """Operating system and architecture, such as linux/amd64; empty when unknown."""
        return "/".join(part for part in (self.operating_system, self.architecture) if part)

    @property
    def needs_gpu(self) -> bool:
        """Whether its config names CUDA, which a size without GPU cannot serve."""
        return bool(self.cuda_version or self.minimum_cuda)


class VmSizeQuerySet(models.QuerySet):
    """Sizes to choose from."""

    def offered(self, today: date) -> Self:
        """Leave out sizes that are retired by then."""
        return self.exclude(retirement_date__lte=today)


class VmSize(models.Model):
    """A VM size and what is in it; empty where the source does not say."""

    name = models.CharField(max_length=80, unique=True)
    family = models.CharField(max_length=60, db_index=True)
    gpu_model = models.CharField(max_length=80, blank=True)
    gpu_count = models.CharField(
        max_length=8, blank=True, help_text="A whole number, or a share such as 1/6."
    )
    has_gpu = models.BooleanField(default=False, db_index=True)
    gpu_memory_gib_total = models.PositiveIntegerField(null=True, blank=True)
    vcpus = models.PositiveIntegerField(null=True, blank=True)
    memory_gib = models.PositiveIntegerField(null=True, blank=True)
    temp_disk_gib = models.PositiveIntegerField(null=True, blank=True)
    rdma = models.BooleanField(null=True, blank=True)
    cuda_compute_capability = models.CharField(max_length=8, blank=True)
    driver = models.CharField(
        max_length=8, blank=True, choices=[("cuda", "CUDA"), ("grid", "GRID"), ("amd", "AMD")]
    )
    needs_generation_2 = models.BooleanField(default=False)
    note = models.TextField(blank=True)
    retirement_date = models.DateField(null=True, blank=True)
    source = models.TextField(blank=True)
    sourced_on = models.DateField(null=True, blank=True)

    objects = VmSizeQuerySet.as_manager()

    class Meta:
        ordering = ["family", "vcpus", "name"]

    def __str__(self) -> str:
        return self.name

    @property
    def gpu_text(self) -> str:
        """Its GPUs in words, such as "1 of NVIDIA T4" with a multiplication sign; empty without one."""
        if not self.has_gpu:
            return ""
        return f"{self.gpu_count} {TIMES} {self.gpu_model}" if self.gpu_count else self.gpu_model or "GPU"

    def is_retired(self, today: date) -> bool:
        """Whether Azure has withdrawn it by then."""
        return self.retirement_date is not None and self.retirement_date <= today


class VmImageQuerySet(ObservedQuerySet):
    """Node images to choose from."""

    def for_account(self, account: models.Model) -> Self:
        """Keep what one account is offered."""
        return self.filter(account=account)

    def for_containers(self) -> Self:
        """Keep images that can run containers, those first that Batch supports longest."""
        longest = models.F("batch_support_end_of_life").desc(nulls_first=True)
        return self.filter(is_container_capable=True, os_type="linux").order_by(
            longest, "publisher", "offer", "-sku"
        )


class VmImage(SeenModel):
    """A node's operating system that Batch offers, with the agent it needs."""

    account = models.ForeignKey("activity.Account", models.CASCADE, related_name="vm_images")
    node_agent_sku_id = models.CharField(max_length=80)
    publisher = models.CharField(max_length=80)
    offer = models.CharField(max_length=80)
    sku = models.CharField(max_length=80)
    version = models.CharField(max_length=40)
    os_type = models.CharField(max_length=16, blank=True)
    verification_type = models.CharField(max_length=16, blank=True)
    capabilities = models.JSONField(default=list, blank=True)
    is_container_capable = models.BooleanField(default=False)
    batch_support_end_of_life = models.DateTimeField(null=True, blank=True)

    objects = VmImageQuerySet.as_manager()

    class Meta:
        verbose_name = "VM image"
        ordering = ["publisher", "offer", "-sku"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "publisher", "offer", "sku", "version", "node_agent_sku_id"],
                name="vm_image_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.publisher} / {self.offer} / {self.sku} ({self.version})"

    def is_supported(self, now: datetime) -> bool:
        """Whether Batch still supports it then."""
        return self.batch_support_end_of_life is None or self.batch_support_end_of_life > now
