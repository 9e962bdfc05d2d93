"""`inspect`: what a model file contains."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TypeAlias

from zeropoint.checkpoints import Checkpoint, TensorInfo, open_checkpoint, open_model, resolve_model
from zeropoint.checkpoints.files.file_kind import find_file_kind
from zeropoint.checkpoints.tensor_digest import TensorDigest
from zeropoint.errors import CheckpointError, UnsupportedModel
from zeropoint.kernels import variant
from zeropoint.plans import bits_per_weight
from zeropoint.plans.formats import inventory
from zeropoint.quantizers import TensorScanned, matrices, scan_outliers
from zeropoint.quantizers.proof import read_proof
from zeropoint.results.inventory import (
    EmbeddedRecipe,
    FileKindSummary,
    LargestWeight,
    ModelInventory,
    TensorEntry,
)
from zeropoint.results.proof import FileProof
from zeropoint.verbs.checkpoint_input import CheckpointInput
from zeropoint.verbs.options.inspect import InspectOptions
from zeropoint.verbs.records import Notice, OnRecord, StageStarted, drain

# Models up to this many weights are scanned by default: it takes some seconds.
SCAN_LIMIT_WEIGHTS = 2_000_000_000
SCAN_LIMIT_WEIGHTS_NUMPY = 30_000_000  # without the compiled kernels


@dataclass(frozen=True)
class BytesVerified:
    """Some more bytes of the tensors are in their digest."""

    done: int  # bytes so far, over all tensors


InspectRecord: TypeAlias = StageStarted | Notice | TensorScanned | BytesVerified | ModelInventory


def inspect(
    model: CheckpointInput,
    *,
    tensors: str = "",
    outliers: bool | None = None,
    verify: bool = False,
    progress: OnRecord | None = None,
) -> ModelInventory:
    """Return what a model file contains: architecture, formats, recipe, origin, tensors, outliers.

    `model` is a GGUF file, a folder, a hub id or an open checkpoint; the options are those of
    `InspectOptions`. `progress` is called with each record of a scan. With `verify`, the
    result's `proof.verified` is whether the tensors have the digest that the file states.

    Raises CheckpointError for a file that is damaged, or has no digest to verify.
    """
    options = InspectOptions(tensors=tensors, outliers=outliers, verify=verify)
    return drain(inspect_records(model, options), ModelInventory, progress)


def inspect_records(model: CheckpointInput, options: InspectOptions) -> Iterator[InspectRecord]:
    """Run `inspect`; yield a record for each matrix that is scanned, and the result last."""
    with _opened_as_far_as_possible(model) as (source, notice):
        if notice:
            yield notice
        proof = read_proof(source)
        if options.verify:
            proof = yield from _verified(source, proof)
        scans: dict[str, TensorScanned] = {}
        scanned = _is_quick_to_scan(source) if options.outliers is None else options.outliers
        if scanned:
            total = sum(info.elements for info in matrices(source))
            yield StageStarted("scanning for outliers", total)
            for scan in scan_outliers(source):
                scans[scan.name] = scan
                yield scan
        inventory = _inventory(source, options, scans if scanned else None)
        yield replace(inventory, proof=None if proof == FileProof() else proof)


def _verified(
    source: Checkpoint, proof: FileProof
) -> Generator[StageStarted | BytesVerified, None, FileProof]:
    """Read all tensors; return the proof with the outcome of the comparison of the digests."""
    if proof.tensors_sha256 is None:
        raise CheckpointError(
            source.path,
            "states no digest of its tensors, so there is nothing to verify; GGUF files that"
            " `zeropoint quantize` writes state one",
        )
    yield StageStarted("verifying", sum(info.nbytes for info in source.tensors.values()))
    digest = TensorDigest()
    for done in digest.add_all(source):
        yield BytesVerified(done)
    return replace(proof, verified=digest.hexdigest() == proof.tensors_sha256)


@contextmanager
def _opened_as_far_as_possible(
    model: CheckpointInput,
) -> Iterator[tuple[Checkpoint, Notice | None]]:
    """Open a model under GGUF's names, or under its own where it cannot be converted."""
    if isinstance(model, Checkpoint):
        yield model, None
        return
    path = resolve_model(str(model))
    notice = None
    try:
        source = open_checkpoint(path) if path.is_file() else open_model(path, "inspect")
    except UnsupportedModel as error:
        notice = Notice(
            f"tensors keep their own names, because the model cannot be converted: {error}"
        )
        source = open_checkpoint(path)
    with source:
        yield source, notice


def _is_quick_to_scan(source: Checkpoint) -> bool:
    """Return whether a scan of all weights takes seconds and not minutes."""
    elements = sum(info.elements for info in source.tensors.values())
    return elements <= (SCAN_LIMIT_WEIGHTS_NUMPY if variant() == "numpy" else SCAN_LIMIT_WEIGHTS)


def _inventory(
    source: Checkpoint,
    options: InspectOptions,
    scans: Mapping[str, TensorScanned] | None,
) -> ModelInventory:
    infos = source.tensors.values()
    entries = [_entry(info, (scans or {}).get(info.name)) for info in infos]
    kind = find_file_kind(source)
    return ModelInventory(
        kind=FileKindSummary(
            name=kind.name,
            described=kind.described,
            advice=kind.advice or None,
            uses=tuple(sorted(kind.uses)),
        ),
        files=tuple(path.name for path in source.files),
        container=source.kind,
        scanned=scans is not None,
        outliers=_by_outlier(entries),
        file_bytes=source.file_bytes,
        elements=sum(info.elements for info in infos),
        bits_per_weight=bits_per_weight(source.file_bytes, infos),
        model=inventory.outline(source.metadata),
        formats=tuple(inventory.shares((info.format.name, info) for info in infos)),
        recipe=_recipe(source),
        imatrix=inventory.imatrix(source.metadata) or None,
        origin=inventory.origin(source.metadata),
        tensors=tuple(
            entry
            for entry in entries
            if not options.tensors or fnmatchcase(entry.name, options.tensors)
        ),
    )


def _recipe(source: Checkpoint) -> EmbeddedRecipe | None:
    recipe, origin = inventory.recipe_in(source)
    if not recipe:
        return None
    left_out = max(len(recipe) - inventory.RECIPE_SHOWN, 0)
    return EmbeddedRecipe(recipe[: inventory.RECIPE_SHOWN], origin, left_out)


def _by_outlier(entries: Iterable[TensorEntry]) -> tuple[TensorEntry, ...]:
    scanned = [(entry.outlier.largest_over_sigma, entry) for entry in entries if entry.outlier]
    return tuple(entry for _, entry in sorted(scanned, key=lambda pair: -pair[0]))


def _entry(info: TensorInfo, scan: TensorScanned | None) -> TensorEntry:
    outlier = None
    if scan is not None:
        place = (scan.row, scan.column)
        outlier = LargestWeight(scan.largest, place, scan.sigma, scan.ratio, scan.finite)
    return TensorEntry(
        name=info.name,
        format=info.format.name,
        shape=info.shape,
        bytes=info.nbytes,
        outlier=outlier,
    )
