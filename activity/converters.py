"""How ids of Azure Batch look in addresses; importing this registers the converters."""

from django.urls import register_converter


class BatchIdConverter:
    """An id of a pool, job, task or node: letters, digits, hyphens, underscores and (of schedules' jobs) colons."""

    regex = r"[A-Za-z0-9_:-]{1,128}"

    def to_python(self, value: str) -> str:
        """Return the id as it is."""
        return value

    def to_url(self, value: str) -> str:
        """Return the id as it is."""
        return value


register_converter(BatchIdConverter, "batchid")
