"""Calls about pools, nodes and node operating systems."""

from collections.abc import Iterator
from datetime import timedelta

from cloud.batch.creation import create_once, vanished
from cloud.batch.session import BatchSession, segment
from cloud.errors import CloudError
from cloud.types import (
    AutoScaleRun,
    Creation,
    DeallocationOption,
    NodeSnapshot,
    PoolSnapshot,
    PoolSpec,
    VmImageSnapshot,
)
from cloud.wire import read_pools, write_pools


class PoolCalls:
    """What a Batch account does with pools and nodes."""

    session: BatchSession

    def create_pool(self, spec: PoolSpec) -> Creation:
        """Create a pool; safe to repeat for the same operation."""

        def find_operation() -> str | None:
            if found := self.get_pool(spec.id):
                return found.operation
            raise vanished(spec.id)

        return create_once(
            id=spec.id,
            operation=spec.operation,
            create=lambda: self.session.post("/pools", write_pools.create_pool(spec)),
            find_operation=find_operation,
        )

    def get_pool(self, pool_id: str) -> PoolSnapshot | None:
        """Read a pool with its whole masked object, None when it does not exist."""
        data = self.session.get_or_none(f"/pools/{segment(pool_id)}")
        return read_pools.pool(data, raw=True) if data else None

    def list_pools(self) -> Iterator[list[PoolSnapshot]]:
        """List all pools, page by page."""
        for page in self.session.pages("/pools", select=read_pools.POOL_MEMBERS):
            yield [read_pools.pool(item) for item in page]

    def delete_pool(self, pool_id: str) -> bool:
        """Ask for a pool's deletion; False when it was gone already."""
        try:
            self.session.delete(f"/pools/{segment(pool_id)}")
        except CloudError as error:
            if error.is_missing:
                return False
            if error.code != "PoolBeingDeleted":
                raise
        return True

    def resize_pool(
        self,
        pool_id: str,
        *,
        target_dedicated_nodes: int | None,
        target_low_priority_nodes: int | None,
        resize_timeout: timedelta | None = None,
        deallocation: DeallocationOption | None = None,
    ) -> None:
        """Ask for other numbers of nodes; a target that is None keeps its value."""
        body = write_pools.resize_pool(
            target_dedicated_nodes, target_low_priority_nodes, resize_timeout, deallocation
        )
        self.session.post(f"/pools/{segment(pool_id)}/resize", body)

    def stop_resize(self, pool_id: str) -> None:
        """Stop a resize; what has been allocated stays."""
        self.session.post(f"/pools/{segment(pool_id)}/stopresize")

    def enable_autoscale(
        self, pool_id: str, *, formula: str | None = None, interval: timedelta | None = None
    ) -> None:
        """Switch autoscale on (a formula is needed then), or change formula or interval."""
        body = write_pools.enable_autoscale(formula, interval)
        self.session.post(f"/pools/{segment(pool_id)}/enableautoscale", body)

    def disable_autoscale(self, pool_id: str) -> None:
        """Switch autoscale off; the current targets stay."""
        self.session.post(f"/pools/{segment(pool_id)}/disableautoscale")

    def evaluate_autoscale(self, pool_id: str, *, formula: str) -> AutoScaleRun | None:
        """Try a formula on a pool that has autoscale on; a faulty formula is the run's `error`."""
        path = f"/pools/{segment(pool_id)}/evaluateautoscale"
        return read_pools.auto_scale_run(self.session.post(path, write_pools.evaluate_autoscale(formula)))

    def list_nodes(self, pool_id: str) -> Iterator[list[NodeSnapshot]]:
        """List a pool's nodes, page by page."""
        path = f"/pools/{segment(pool_id)}/nodes"
        for page in self.session.pages(path, select=read_pools.NODE_MEMBERS):
            yield [read_pools.node(item, pool_id) for item in page]

    def reboot_node(self, pool_id: str, node_id: str, *, option: DeallocationOption | None = None) -> None:
        """Restart a node; `option` says what becomes of its tasks, Azure's default is requeue."""
        # The SDK's own method fails before sending when the body is left out.
        path = f"/pools/{segment(pool_id)}/nodes/{segment(node_id)}/reboot"
        self.session.post(path, write_pools.reboot_node(option))

    def reimage_node(self, pool_id: str, node_id: str, *, option: DeallocationOption | None = None) -> None:
        """Reinstall a node's system; `option` says what becomes of its tasks."""
        path = f"/pools/{segment(pool_id)}/nodes/{segment(node_id)}/reimage"
        self.session.post(path, write_pools.reimage_node(option))

    def list_supported_images(self) -> Iterator[list[VmImageSnapshot]]:
        """List the node operating systems that Batch offers, page by page."""
        for page in self.session.pages("/supportedimages"):
            yield [read_pools.vm_image(item) for item in page]
