"""Reads and writes model files tensor by tensor, and checks every length before it is used."""

from zeropoint.checkpoints.base import Checkpoint, TensorInfo
from zeropoint.checkpoints.files.atomic import write_file
from zeropoint.checkpoints.hub.open_model import open_model, resolve_model
from zeropoint.checkpoints.layout import FileLayout, NewTensor, TensorLike
from zeropoint.checkpoints.open import open_checkpoint
from zeropoint.checkpoints.values import StringArray
from zeropoint.checkpoints.writer import CheckpointWriter, create_checkpoint, plan_files

__all__ = [
    "Checkpoint",
    "CheckpointWriter",
    "FileLayout",
    "NewTensor",
    "StringArray",
    "TensorInfo",
    "TensorLike",
    "create_checkpoint",
    "open_checkpoint",
    "open_model",
    "plan_files",
    "resolve_model",
    "write_file",
]
