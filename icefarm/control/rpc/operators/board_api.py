"""The procedures ``icefarm.v1.control.*`` that act on boards, workers and requests of anybody."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import define

from icefarm.bus import Caller
from icefarm.concurrency.deferreds import failures, outcomes
from icefarm.contract import DeviceRecord, DeviceStatus, Role, to_wire
from icefarm.control.inventory.board_reports import BoardReports
from icefarm.control.inventory.inventory import Inventory
from icefarm.control.reservations.queue import WaitingQueue
from icefarm.control.reservations.termination import Termination
from icefarm.control.scheduling.placement import distinct_serials
from icefarm.control.sessions.tracker import Sessions
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.events import BoardsDeleted
from icefarm.control.telemetry.publisher import Publisher
from icefarm.control.worker_client import WorkerClient
from icefarm.errors import DeviceFailed, IcefarmError, InvalidArgument, NotYours, TransportError, UnknownWorker
from icefarm.selectors.boards import check_labels

__all__ = ["OperatorProcedures"]

#: Boards that one call reboots or tests at once.
AT_ONCE = 64


@define(eq=False)
class OperatorProcedures:
    """Orders to boards and workers, and the end of reservations and requests.  A client may restart its own boards."""

    store: Store
    sessions: Sessions
    queue: WaitingQueue
    termination: Termination
    inventory: Inventory
    board_reports: BoardReports
    worker_client: WorkerClient
    publisher: Publisher

    def table(self) -> Mapping[str, tuple[Callable[..., Any], tuple[Role, ...]]]:
        """Return each procedure with the roles that may call it."""
        for_operators = (
            *(self.delete, self.delete_worker, self.end_any, self.drain, self.resume),
            *(self.retest, self.dismiss, self.label),
        )
        return {
            **{method.__name__: (method, (Role.OPERATOR,)) for method in for_operators},
            "reboot": (self.reboot, (Role.CLIENT, Role.OPERATOR)),
        }

    async def delete(self, _: Caller, serials: list[str]) -> list[str]:
        """Delete boards that are offline or broken, and not reserved."""
        chosen = distinct_serials(serials)
        devices = await self.store.devices(chosen)
        deleted = await self.store.delete_devices(chosen)
        self.publisher.publish(BoardsDeleted(deleted))
        await outcomes(
            [partial(self.worker_client.delete, device.worker, device.serial) for device in devices], AT_ONCE
        )
        return deleted

    async def delete_worker(self, _: Caller, worker: str) -> list[str]:
        """Delete a worker that is offline, and its boards; returns their serials."""
        if self.sessions.state.worker_is_here(worker):
            raise InvalidArgument(f"worker {worker!a:.120} is connected; only one that is offline can be forgotten")
        deleted = await self.store.delete_worker(worker)
        self.publisher.publish(BoardsDeleted(deleted))
        return deleted

    async def end_any(self, caller: Caller, serials: list[str]) -> list[str]:
        """End reservations of any client."""
        reason = f"ended by operator {caller.authid}"
        return [record.serial for record in await self.termination.end(None, distinct_serials(serials), reason)]

    async def drain(
        self, _: Caller, worker: str | None = None, leave: bool = False, workers: list[str] | None = None
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """Stop giving out the boards of a worker, or of several; present reservations go on.

        With ``leave``, a worker's process exits when there are none left.  Returns the record of ``worker``, or a list
        for ``workers``.  Raises `UnknownWorker`, and drains none then.
        """
        names = await self._named_workers(worker, workers)
        away = [name for name in names if leave and not self.sessions.state.worker_is_here(name)]
        if away:
            raise UnknownWorker(f"worker {away[0]!r} is not connected: it cannot leave, it can only be drained")
        records = [await self._set_draining(name, draining=True, leaving=leave) for name in names]
        return records if worker is None else records[0]

    async def resume(
        self, _: Caller, worker: str | None = None, workers: list[str] | None = None
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """Resume giving out the boards of a worker, or of several; the arguments are those of ``drain``."""
        names = await self._named_workers(worker, workers)
        records = [await self._set_draining(name, draining=False, leaving=False) for name in names]
        return records if worker is None else records[0]

    async def retest(self, _: Caller, serials: list[str]) -> list[str]:
        """Test broken boards again now."""
        return await self._for_each(
            await self.store.devices(distinct_serials(serials)), self.worker_client.retest, "test"
        )

    async def reboot(self, caller: Caller, serials: list[str]) -> list[str]:
        """Restart and flash boards, keeping their reservations: a client's own, or any for an operator."""
        devices = await self.store.devices(distinct_serials(serials))
        if caller.role != Role.OPERATOR:
            foreign = [device.serial for device in devices if device.client != caller.authid and not device.shares]
            if foreign:
                raise NotYours(f"not reserved by you: {', '.join(foreign)}", serials=foreign)
            shared = [device.serial for device in devices if device.shares]
            if shared:
                words = f"others may share {', '.join(shared)}: only an operator can restart shared boards"
                raise NotYours(words, serials=shared)
        return await self._for_each(devices, self.worker_client.reboot, "reboot")

    async def dismiss(self, caller: Caller, ids: list[str]) -> list[str]:
        """Remove requests from the queue; returns those that this call removed."""
        return self.queue.dismiss(distinct_serials(ids), f"removed from the queue by operator {caller.authid}")

    async def label(
        self, _: Caller, labels: dict[str, str | None], serials: list[str] | None = None, worker: str | None = None
    ) -> list[dict[str, Any]]:
        """Set labels of boards, or of a worker and thereby its boards; a value None removes a label.

        Returns the boards.  Raises `UnknownDevice`, `UnknownWorker`.
        """
        if (serials is None) == (worker is None):
            raise InvalidArgument("give either serials, the boards to label, or worker")
        check_labels(labels)
        boards = await self.store.set_labels(
            labels, serials=None if serials is None else distinct_serials(serials), worker=worker
        )
        await self.board_reports.show_boards(boards)
        for record in await self.store.workers():
            if record.name == worker:
                await self.inventory.show(record)
        self.queue.poke()
        # A worker that is away learns of them when it says hello.
        held = [board for board in boards if board.reservation is not None]
        tell = [partial(self.worker_client.relabel, board.worker, board.serial, board.labels) for board in held]
        await outcomes(tell, AT_ONCE)
        return [to_wire(board) for board in boards]

    async def _named_workers(self, worker: str | None, workers: list[str] | None) -> list[str]:
        """Return which workers were named.  Raises `InvalidArgument`, `UnknownWorker`."""
        if (worker is None) == (workers is None):
            raise InvalidArgument("give either worker or workers, a list")
        if workers is None:
            return [str(worker)]
        if not workers or len(set(workers)) < len(workers):
            raise InvalidArgument("workers must name at least one worker, and each once")
        known = {record.name for record in await self.store.workers()}
        unknown = [name for name in workers if name not in known]
        if unknown:
            raise UnknownWorker(f"the farm knows no worker {', '.join(f'{name!a:.120}' for name in unknown[:10])}")
        return workers

    async def _set_draining(self, worker: str, *, draining: bool, leaving: bool) -> dict[str, Any]:
        record = await self.store.set_draining(worker, draining, leaving=leaving)
        order = self.worker_client.drain if draining else self.worker_client.resume
        # An absent worker learns of it from the answer to its next hello.
        await outcomes([partial(order, worker)], 1)
        await self.inventory.show(record)
        return to_wire(record)

    async def _for_each(
        self, devices: Sequence[DeviceRecord], order: Callable[[str, str], Coroutine[Any, Any, None]], verb: str
    ) -> list[str]:
        """Order the workers of these boards to do something.  Raises `UnknownWorker`, or `DeviceFailed` naming all."""
        for device in devices:
            if device.status is DeviceStatus.OFFLINE and not self.sessions.state.worker_is_here(device.worker):
                raise UnknownWorker(f"worker {device.worker!r} of board {device.serial} is not connected")
        orders = {device.serial: partial(order, device.worker, device.serial) for device in devices}
        failed = await failures(orders, AT_ONCE)
        if failed:
            words = "; ".join(f"board {serial}: {_words(error)}" for serial, error in failed.items())
            raise DeviceFailed(f"could not {verb} {words}", serials=list(failed))
        return [device.serial for device in devices]


def _words(error: IcefarmError) -> str:
    return f"its worker does not answer ({error})" if isinstance(error, TransportError) else str(error)
