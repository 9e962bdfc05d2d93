"""The request of the Multiply page: checks the body, computes the product and streams it."""

import base64
from collections.abc import AsyncIterator, Mapping
from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from zeropoint.checkpoints import TensorInfo
from zeropoint.kernels.traces import UNIT_COLUMNS
from zeropoint.studio.data.dot_product import Activations, ProductRequest, inputs_of, product_of
from zeropoint.studio.data.library import LibraryEntry
from zeropoint.studio.data.open_model import OpenedModel
from zeropoint.studio.data.page_data import PageData
from zeropoint.studio.http.model_worker import ModelWorker
from zeropoint.studio.http.requests import text_in, whole_in


def read_product_request(body: Mapping[str, Any], info: TensorInfo) -> ProductRequest:
    """Check the body of a request. Raises HTTPException(400) for invalid values."""
    kind = text_in(body, "kind", maximum=8) or "token"
    if kind not in ("token", "seed", "text"):
        raise HTTPException(400, "kind must be token, seed or text")
    return ProductRequest(
        row=whole_in(body, "row", 0, info.rows - 1),
        unit=whole_in(body, "unit", 0, -(-info.columns // UNIT_COLUMNS) - 1),
        format=text_in(body, "format", maximum=64),
        kind=kind,
        token=text_in(body, "token", maximum=256),
        seed=whole_in(body, "seed", 0, 2**32 - 1),
        text=text_in(body, "text", minimum=1 if kind == "text" else 0, maximum=2000),
    )


async def product_records(
    worker: ModelWorker,
    entry: LibraryEntry,
    model: OpenedModel,
    info: TensorInfo,
    request: ProductRequest,
) -> AsyncIterator[PageData]:
    """Yield the product as the last record; earlier records describe the current step."""
    if request.kind == "text":
        words = {"model": str(entry.path), "tensor": info.name, "row": request.row,
                 "text": request.text}  # fmt: skip
        async for record in worker.run("inputs", words):
            if "x" not in record:
                yield record
                continue
            x = np.frombuffer(base64.b64decode(record["x"]["data"]), "<f4")
            inputs = Activations(x, record["told"])
    else:
        inputs = await run_in_threadpool(inputs_of, model.checkpoint, info, request)
    yield await run_in_threadpool(product_of, model.checkpoint, info, request, inputs)
