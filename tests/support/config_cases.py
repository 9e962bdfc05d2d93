"""Compares what transformers computes for a config.json with what we make of it."""

import json
import shutil
import zlib
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import CONFIG_MAPPING

from support import hf_folders
from support.config_values import Case, base, class_fields
from zeropoint.checkpoints import Checkpoint, open_checkpoint, open_model
from zeropoint.checkpoints.families import HUGGINGFACE_TYPES
from zeropoint.checkpoints.settings.config_to_gguf import read_configuration
from zeropoint.checkpoints.settings.settings import HARMLESS
from zeropoint.errors import CheckpointError, UnsupportedModel
from zeropoint.formats import FORMATS
from zeropoint.models import load_model
from zeropoint.plans import choose_formats
from zeropoint.quantizers import WriteOptions, quantize_tensors
from zeropoint.quantizers.export import export_folder

TOKENS = np.random.default_rng(7).integers(3, hf_folders.VOCABULARY, 40)
OFFSET_NORMS = ("gemma2", "gemma3", "qwen3_5", "qwen3_next")  # 1 + weight multiplies
LIMIT = 2e-3  # of a logit; settings that are dropped move logits by 0.1 and more


class Trial:
    """Runs cases in a folder; `outcomes` counts what became of them."""

    def __init__(self, folder: Path, *, files: bool) -> None:
        self.folder = folder
        self.files = files  # also through a GGUF file, and back into a folder
        self.outcomes: Counter[str] = Counter()
        self.faults: list[str] = []

    def run(self, case: Case) -> None:
        """Try one case, and note what is wrong with how it was treated."""
        outcome, fault = self._try(case)
        self.outcomes[outcome] += 1
        if fault:
            self.faults.append(f"{case}: {outcome}, but {fault}")

    def _try(self, case: Case) -> tuple[str, str]:
        key = case.key.split(" ")[0]
        try:
            configuration = read_configuration(Path("config.json"), case.config)
        except (CheckpointError, UnsupportedModel) as error:
            named = any(name in str(error) for name in case.names)
            return "refused", "" if named else f"the sentence does not name it: {error}"
        try:
            model = make_model(case.config)
            theirs = logits(model)
        except Exception:  # noqa: BLE001 (transformers checks some values only when it runs)
            return "not legal in transformers", ""
        if key in {*HARMLESS, *HUGGINGFACE_TYPES[case.family].harmless} and " " not in case.key:
            moved = float(np.abs(theirs - base_logits(case.family)).max())
            return "harmless", f"transformers' logits move by {moved:.2g}" if moved else ""
        if case.key in configuration.ignored and case.key in class_fields(case.family):
            return "ignored", "transformers' class has this setting"
        if case.key in configuration.ignored:
            return "ignored", self._compare(case, model, theirs)
        return "used", self._compare(case, model, theirs)

    def _compare(self, case: Case, model: Any, theirs: np.ndarray) -> str:
        folder = write_folder(self.folder / "model", model, case.config)
        try:
            return self._compare_folder(folder, theirs)
        finally:
            shutil.rmtree(folder)

    def _compare_folder(self, folder: Path, theirs: np.ndarray) -> str:
        with open_model(folder) as source:
            if fault := differs("the folder", ours(source), theirs):
                return fault
            if not self.files:
                return ""
            choices, file = choose_formats(source, "F32"), folder / "model.gguf"
            list(quantize_tensors(source, choices, file, options=WriteOptions(to="F32")))
        with open_checkpoint(file) as source:
            if fault := differs("its GGUF file", ours(source), theirs):
                return fault
            list(export_folder(source, folder / "back", FORMATS["F32"], threads=1))
        back = transformers.AutoModelForCausalLM.from_pretrained(
            folder / "back", dtype=torch.float32, attn_implementation="eager"
        )
        back.config._experts_implementation = "eager"
        return differs("the folder exported from it", logits(back.eval()), theirs)


def differs(what: str, found: np.ndarray, wanted: np.ndarray) -> str:
    """Return a sentence if logits are not those of transformers."""
    distance = np.abs(found - wanted).max()
    return "" if distance <= LIMIT else f"the logits of {what} differ by {distance:.2g}"


def make_model(config: Mapping[str, Any]) -> Any:
    """Return transformers' model of a config.json; a weight depends on its name and shape only."""
    kind = CONFIG_MAPPING[config["model_type"]]
    made = kind.from_dict(json.loads(json.dumps(config)))
    made._experts_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(made, attn_implementation="eager").float()
    centre = 0.0 if config["model_type"].startswith(OFFSET_NORMS) else 1.0
    with torch.no_grad():
        for name, weight in model.named_parameters():
            generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            noise = torch.randn(weight.shape, generator=generator)
            if weight.ndim == 1:
                weight.copy_((0.0 if name.endswith("bias") else centre) + 0.2 * noise)
            else:
                weight.copy_(noise * (1.5 / weight.shape[-1] ** 0.5))
    return model.eval()


def logits(model: Any) -> np.ndarray:
    """Return what transformers computes for TOKENS: (tokens, vocabulary) float32."""
    with torch.no_grad():
        found: np.ndarray = (
            model(torch.from_numpy(TOKENS)[None], return_dict=True).logits[0].numpy()
        )
    return found


@cache
def base_logits(family: str) -> np.ndarray:
    """Return transformers' logits of a family's base."""
    return logits(make_model(base(family)))


def ours(source: Checkpoint) -> np.ndarray:
    """Return what the compiled engine computes for TOKENS."""
    return load_model(source, threads=1).logits(TOKENS)


def write_folder(folder: Path, model: Any, config: Mapping[str, Any]) -> Path:
    """Write a model's weights, the config.json as the case has it, and a tokenizer."""
    model.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config))
    hf_folders.write_byte_tokenizer(folder)
    return folder
