"""Names of container images as people write them, and the rows they stand for."""

import re
from dataclasses import dataclass
from typing import Any, Self

from django.core.exceptions import ValidationError
from django.db import models

from .catalog import Image, Registry, Repository

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*\Z")


@dataclass(frozen=True, slots=True)
class ImageName:
    """An image's name taken apart; exactly one of tag and digest may be empty."""

    login_server: str
    repository: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take `server/repository[:tag][@digest]` apart; ValidationError says what is wrong with it."""
        name, _, digest = text.strip().partition("@")
        server, _, path = name.partition("/")
        if not path or not ("." in server or ":" in server or server == "localhost"):
            raise ValidationError(
                "Begin with the registry, such as example.azurecr.io/pytorch:1.0.", code="image"
            )
        repository, _, tag = path.partition(":")
        if not _REPOSITORY.match(repository):
            raise ValidationError(f"“{repository}” is not a repository's name.", code="image")
        if digest and not _DIGEST.match(digest):
            raise ValidationError("A digest is sha256: and 64 hexadecimal digits.", code="image")
        if tag and not _TAG.match(tag):
            raise ValidationError(f"“{tag}” is not a tag's name.", code="image")
        return cls(server, repository, tag or ("" if digest else "latest"), digest)

    def __str__(self) -> str:
        """Say it as Batch takes it."""
        ending = f"@{self.digest}" if self.digest else f":{self.tag}"
        return f"{self.login_server}/{self.repository}{ending}"

    def pinned_to(self, digest: str) -> str:
        """The same repository at a digest."""
        return f"{self.login_server}/{self.repository}@{digest}"


def find_image(account_id: int | None, text: str) -> Image:
    """Find the image that a name stands for among an account's registries.

    ValidationError names the first part that is unknown: registry, repository, tag or digest.
    """
    name = ImageName.parse(text)
    registry = Registry.objects.filter(account=account_id, login_server__iexact=name.login_server).first()
    if registry is None:
        raise ValidationError(f"This account has no registry {name.login_server}.", code="unknown_registry")
    repository = Repository.objects.alive().filter(registry=registry, name=name.repository).first()
    if repository is None:
        raise ValidationError(
            f"{name.login_server} has no repository {name.repository}.", code="unknown_repository"
        )
    images = Image.objects.alive().filter(repository=repository)
    found = images.filter(digest=name.digest) if name.digest else images.filter(tag=name.tag)
    image = found.select_related("repository__registry").order_by("-tag").first()
    if image is None:
        what = f"digest {name.digest}" if name.digest else f"tag {name.tag}"
        raise ValidationError(f"Repository {name.repository} has no {what}.", code="unknown_tag")
    return image


class WithImage(models.Model):
    """What was asked for names a container image; it is resolved when it is validated."""

    container_image = models.CharField(
        max_length=500,
        blank=True,
        help_text="registry/repository:tag, or registry/repository@sha256:…; empty leaves it to the pool.",
    )
    image = models.ForeignKey(
        Image, models.RESTRICT, null=True, blank=True, related_name="%(class)ss", editable=False
    )
    pins_digest = models.BooleanField(
        "pin to digest", default=True, help_text="Keep using this digest even when the tag moves."
    )
    image_digest = models.CharField(max_length=80, blank=True, editable=False)

    class Meta:
        abstract = True

    def clean_fields(self, exclude: Any = None) -> None:
        """Resolve the image that was named, so that a wrong name is reported at its field."""
        errors: dict[str, Any] = {}
        try:
            super().clean_fields(exclude=exclude)
        except ValidationError as error:
            errors = dict(error.error_dict)
        if self.container_image and "container_image" not in {*(exclude or ()), *errors}:
            try:
                self.image = find_image(getattr(self, "account_id", None), self.container_image)
            except ValidationError as error:
                errors["container_image"] = error
        if errors:
            raise ValidationError(errors)

    @property
    def asked_image(self) -> str:
        """The image as Batch is told it: by digest when pinned; empty when none was asked for."""
        if not self.container_image:
            return ""
        named = ImageName.parse(self.container_image)
        return named.pinned_to(self.image_digest) if self.pins_digest and self.image_digest else str(named)
