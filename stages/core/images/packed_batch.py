"""Sends a batch from a loading process to the training process.

All its tensors travel as one block of shared memory: a file descriptor and a message for each would cost more.
"""

import io
import pickle
from multiprocessing.reduction import ForkingPickler
from typing import Any, NamedTuple

import torch
from torch import Tensor

_ALIGNMENT = 64
"""Bytes; of each tensor's place in the block."""


def collate(items: list[Any]) -> Any:
    """Stack the arrays and numbers of items of one shape; torch's own would put each into shared memory by itself."""
    first = items[0]
    if isinstance(first, dict):
        return {name: collate([item[name] for item in items]) for name in first}
    if isinstance(first, list | tuple):
        return [collate(list(parts)) for parts in zip(*items, strict=True)]
    return torch.stack([torch.as_tensor(item) for item in items])


class Packed(NamedTuple):
    """A batch as it is sent: pickled structure, and one block of all tensors."""

    structure: bytes
    """Everything but the tensors, pickled."""
    block: bytes | Tensor
    """All tensors in one, uint8; pickled, which says where it lies in shared memory."""

    def pinned(self) -> "Packed":
        """The packed batch with its block in pinned memory.

        Raises:
            OSError: See `unpack`.
            RuntimeError: The same.
        """
        return self._replace(block=self._fetch().pin_memory())

    def unpack(self) -> Any:
        """The batch, its tensors as views of one block.

        Raises:
            OSError: This process can open no more files, or the one that made the batch is gone.
            RuntimeError: The same.
        """
        return _Unpickler(self.structure, self._fetch()).load()

    def _fetch(self) -> Tensor:
        try:
            return pickle.loads(self.block) if isinstance(self.block, bytes) else self.block
        except EOFError as error:
            raise OSError("the process that made it is gone") from error


def pack(batch: Any) -> Packed:
    """Move the tensors of a batch into a block of shared memory.

    Raises:
        OSError: It cannot be handed over: too many open files, or no place for a socket in the temporary folder.
        RuntimeError: Shared memory is full.
    """
    pickler = _Pickler()
    pickler.dump(batch)
    block: Tensor = torch.empty(pickler.size, dtype=torch.uint8)
    block.share_memory_()  # type: ignore[no-untyped-call]
    for place, tensor in pickler.tensors:
        place.view(block).copy_(tensor)
    return Packed(pickler.file.getvalue(), bytes(ForkingPickler.dumps(block)))


class _Place(NamedTuple):
    start: int
    bytes: int
    shape: tuple[int, ...]
    dtype: torch.dtype

    def view(self, block: Tensor) -> Tensor:
        return block[self.start : self.start + self.bytes].view(self.dtype).view(self.shape)


class _Pickler(pickle.Pickler):
    """Keeps the tensors apart."""

    def __init__(self) -> None:
        self.file = io.BytesIO()
        super().__init__(self.file, pickle.HIGHEST_PROTOCOL)
        self.tensors: list[tuple[_Place, Tensor]] = []
        self.size = 0

    def persistent_id(self, part: Any) -> _Place | None:
        """See `pickle`: what stands for a tensor."""
        if not isinstance(part, Tensor):
            return None
        place = _Place(self.size, part.numel() * part.itemsize, tuple(part.shape), part.dtype)
        self.tensors.append((place, part))
        self.size += -(-place.bytes // _ALIGNMENT) * _ALIGNMENT
        return place


class _Unpickler(pickle.Unpickler):
    def __init__(self, structure: bytes, block: Tensor) -> None:
        super().__init__(io.BytesIO(structure))
        self._block = block

    def persistent_load(self, place: _Place) -> Tensor:
        """See `pickle`: the tensor that something stands for."""
        return place.view(self._block)
