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


class SubjectConverter(BatchIdConverter):
    """An id of a pool or job, beside which a page has the address `new`."""

    def to_url(self, value: str) -> str:
        """Return the id, in capitals where somebody has called a thing `new`: it is found whatever the case."""
        return value.upper() if value == "new" else value


register_converter(BatchIdConverter, "batchid")
register_converter(SubjectConverter, "subject")
