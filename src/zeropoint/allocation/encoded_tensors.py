"""The tensors of a model in every format that a search has tried, each encoded once."""

import numpy as np

from zeropoint.calibration import Calibration
from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.files.atomic import free_bytes
from zeropoint.errors import FormatError
from zeropoint.formats import QuantizedTensor, find_format
from zeropoint.quantizers.in_memory import encode_tensor
from zeropoint.results.run_store import RunFolder

#: Encoded tensors are stored while this many times their size is free on the disk.
SPARE_DISK_FACTOR = 4


class EncodedTensors:
    """Encodes tensors to nearest, and stores their blocks in a run folder.

    Encoding is deterministic, so a tensor that was not stored is encoded again to the same bytes.
    The operating system keeps recently used files in memory, so there is no second cache here.
    """

    def __init__(
        self,
        source: Checkpoint,
        calibration: Calibration | None,
        folder: RunFolder,
        *,
        threads: int,
    ) -> None:
        self.source = source
        self._calibration = calibration
        self._folder = folder
        self._threads = threads

    def get(self, name: str, format: str) -> QuantizedTensor:
        """Return a tensor in a format; one that has this format already is read from the source.

        Raises FormatError, with the name of the tensor, for weights that the format cannot hold.
        """
        info = self.source.tensors[name]
        if info.format.name == format:
            return self.source.read(name)
        bound = find_format(format).for_shape(info.shape)
        file = f"{name}.{format}.blocks"
        if (self._folder.path / file).exists():
            data = np.frombuffer(self._folder.load_bytes(file), np.uint8)
            return QuantizedTensor(bound, info.shape, data.reshape(-1, bound.block_bytes))
        try:
            tensor = encode_tensor(self.source, name, bound, self._calibration, self._threads)
        except FormatError as error:
            raise FormatError(f"{self.source.path}: {name}: {error}") from None
        if free_bytes(self._folder.path) > SPARE_DISK_FACTOR * tensor.data.nbytes:
            self._folder.save_bytes(file, tensor.data.tobytes())
        return tensor
