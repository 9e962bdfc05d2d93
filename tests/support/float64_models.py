"""transformers in float64: also where its modules ask for float32 by name.

Norms widen to float32, softmax names it, rotations are made in it: run with float64 weights alone
such a model is no more exact than float32 in those places. Only the angles stay as transformers
defines them: position times frequency, rounded to float32.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode


class Double(TorchFunctionMode):
    """Whatever asks for float32 gets float64."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        named = {key: _wide(value) for key, value in (kwargs or {}).items()}
        return func(*map(_wide, args), **named)


def _wide(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value


def in_double(model: Any, tokens: torch.Tensor) -> np.ndarray:
    """Return the logits (batch, n, vocabulary) of a float32 model; it is float32 afterwards."""
    with torch.no_grad(), doubled(model):
        logits = model(tokens, use_cache=False).logits
    assert logits.dtype == torch.float64
    found: np.ndarray = logits.numpy()
    return found


@contextmanager
def doubled(model: Any) -> Iterator[None]:
    """Compute in float64 with a float32 model; it is float32 afterwards."""
    rotary: Any = getattr(model.model, "rotary_emb", None) or torch.nn.Identity()
    single = {name: buffer.clone() for name, buffer in rotary.named_buffers()}
    forward = rotary.forward

    def turns(x: torch.Tensor, *args: Any, **named: Any) -> Any:
        with torch._C.DisableTorchFunction():
            cosine, sine = forward(x.float(), *args, **named)
            return cosine.double(), sine.double()

    model.double()
    for name, buffer in single.items():
        setattr(rotary, name, buffer)
    rotary.forward = turns
    try:
        with Double():
            yield
    finally:
        del rotary.forward
        model.float()
