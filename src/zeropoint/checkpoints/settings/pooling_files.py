"""Reads how a sentence-transformers folder pools the hidden states into one vector.

modules.json lists the steps after the decoder; the config.json of the step "Pooling" has the mode.
Names are those of sentence-transformers 5, numbers those of llama.cpp's pooling_type (2026-10).
"""

from collections.abc import Mapping
from pathlib import Path

from zeropoint.checkpoints.folder import read_folder_json
from zeropoint.checkpoints.values import UInt32

MAX_JSON_BYTES = 1 << 20
MODES = {"pooling_mode_mean_tokens": 1, "pooling_mode_cls_token": 2, "pooling_mode_lasttoken": 3}


def read_pooling(folder: Path, architecture: str) -> dict[str, object]:
    """Return the GGUF key of the pooling; an empty dictionary for a folder that predicts tokens.

    Raises CheckpointError for files that are not JSON, or that lie outside of the folder.
    """
    steps = read_folder_json(folder, "modules.json", MAX_JSON_BYTES)
    for step in steps if isinstance(steps, list) else []:
        if not isinstance(step, Mapping) or not str(step.get("type")).endswith("Pooling"):
            continue
        config = read_folder_json(folder, f"{step.get('path')}/config.json", MAX_JSON_BYTES)
        if isinstance(config, Mapping):
            mode = next((number for key, number in MODES.items() if config.get(key)), 1)
            return {f"{architecture}.pooling_type": UInt32(mode)}
    return {}
