"""A ledger of the tensors that live: when their storages are born, when they die, whose they are.

A `TorchDispatchMode` sees every operation beneath autograd. Each storage that an operation makes is
entered once, whatever number of views share it, and struck off when its last owner lets go of it
(a weak reference tells). Frozen parameters, which torch's own MemTracker fails on, are storages
like all others here.

What an operation takes for itself and gives back before it returns is not seen from outside; the
caller says it by `hidden`. Sizes are rounded up as CUDA's caching allocator does: to 512 bytes
(`kMinBlockSize` in c10/cuda/CUDACachingAllocator.cpp).
"""

from __future__ import annotations

import weakref
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# Given an operation, its arguments and what it returned: bytes that it held meanwhile.
Hidden = Callable[[Any, tuple[Any, ...], Any], int]
Owner = tuple[str, int]
NO_LAYER = -1
# What this component owns lies in main memory: it is counted apart.
ELSEWHERE = "elsewhere"


class Ledger(TorchDispatchMode):
    """Counts live bytes while it is entered; what was born before is told by `own`.

    Attributes:
        owner: To whom the next storages go: a component and the number of a layer.
        live: Bytes that live now.
        elsewhere: Those that live in main memory, `most_elsewhere`: the most that ever did.
        peak: The most that ever lived, with what the operation of that moment hid.
        phase: What is being done, and `moment`: what was done at the peak.
        at_peak: Those bytes by owner; what was hidden belongs to `hidden`.
        course: Live bytes after each operation.
    """

    def __init__(self, hidden: Hidden, granularity: int = 512) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.owner: Owner = ("other", NO_LAYER)
        self.live = 0
        self.elsewhere = 0
        self.most_elsewhere = 0
        self.peak = 0
        self.phase = ""
        self.moment = ""
        self.at_peak: Counter[Owner] = Counter()
        self.course = array("q")
        self._hidden = hidden
        self._granularity = granularity
        self._held: Counter[Owner] = Counter()
        self._entries: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._owners: dict[int, Owner] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Do the operation and enter what it made."""
        found = func(*args, **(kwargs or {}))
        for tensor in found if isinstance(found, tuple | list) else (found,):
            if isinstance(tensor, Tensor):
                self.enter_storage(tensor, self.owner)
        self._look(self._hidden(func, args, found))
        return found

    def own(self, component: str, tensors: Iterable[Tensor], layer: int = NO_LAYER) -> None:
        """Say whose storages these are, and enter those that are not known yet."""
        for tensor in tensors:
            self.enter_storage(tensor, (component, layer), anew=True)
        self._look(0)

    def enter_storage(self, tensor: Tensor, owner: Owner, *, anew: bool = False) -> None:
        """Enter a tensor's storage; a known one goes to a new owner where `anew`."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        known = self._entries.get(key)
        if known is not None:
            if anew:
                if ELSEWHERE in (owner[0], self._owners[key][0]):
                    raise ValueError("storages do not move between the memories")
                self._held[self._owners[key]] -= known[1]
                self._held[owner] += known[1]
                self._owners[key] = owner
            return
        size = -(-storage.nbytes() // self._granularity) * self._granularity
        self._entries[key] = (weakref.ref(storage, partial(self._strike, key)), size)
        self._owners[key] = owner
        if owner[0] == ELSEWHERE:
            self.elsewhere += size
            self.most_elsewhere = max(self.most_elsewhere, self.elsewhere)
            return
        self._held[owner] += size
        self.live += size

    def _strike(self, key: int, _: Any) -> None:
        _, size = self._entries.pop(key)
        owner = self._owners.pop(key)
        if owner[0] == ELSEWHERE:
            self.elsewhere -= size
            return
        self._held[owner] -= size
        self.live -= size

    def _look(self, hidden: int) -> None:
        now = self.live + hidden
        self.course.append(now)
        if now > self.peak:
            self.peak = now
            self.moment = self.phase
            self.at_peak = Counter({owner: size for owner, size in self._held.items() if size})
            if hidden:
                self.at_peak["hidden", self.owner[1]] = hidden
