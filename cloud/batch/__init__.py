"""Azure Batch: pools, nodes, jobs, tasks and their files."""

from cloud.batch.gateway import BatchGateway

__all__ = ["BatchGateway"]
