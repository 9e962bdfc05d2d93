"""The proof in a file: its fields, the digest of its tensors, and what an interruption leaves."""

import errno
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from support.tiny_models import write_model
from zeropoint.checkpoints import open_checkpoint
from zeropoint.checkpoints.files import file_ops
from zeropoint.checkpoints.gguf_layout import table_entry
from zeropoint.errors import CheckpointError
from zeropoint.metrics.identity import identify
from zeropoint.quantizers.proof import WIDTHS, read_proof, write_proof
from zeropoint.results.divergence import KL, MeasureResult, TextRead
from zeropoint.results.interval import Interval
from zeropoint.results.model_identity import ReferenceIdentity
from zeropoint.results.predictions import ChangedPrediction
from zeropoint.results.proof import FileProof, StoredLoss, TextLoss
from zeropoint.verbs.inspect import inspect
from zeropoint.verbs.quantize import quantize_checkpoint

EXAMPLE = ChangedPrediction(
    text="prosa", context="ä <&> \n", reference=" a", quant=" b",
    reference_probability=0.5, quant_probability=0.25, kl=1.5,
)  # fmt: skip
LOSS = StoredLoss(
    kl=Interval(0.1 + 0.2, 0.25, 0.35), tokens=4096, text_sha256="ab" * 32, reference="ref.gguf",
    verdict="NOTICEABLE", top1=0.875, by_text={"prosa": TextLoss(0.5, None, None, 10)},
    examples=(EXAMPLE,),
)  # fmt: skip


@pytest.fixture
def quant(tmp_path: Path) -> Path:
    source = write_model(tmp_path / "tiny.gguf")
    quantize_checkpoint(source, tmp_path / "quant.gguf", to="Q4_0", threads=1)
    return tmp_path / "quant.gguf"


def proof_of(path: Path) -> FileProof:
    with open_checkpoint(path) as checkpoint:
        return read_proof(checkpoint)


def verified(path: Path) -> bool | None:
    proof = inspect(path, outliers=False, verify=True).proof
    return proof and proof.verified


def test_a_new_file_has_a_digest_and_fields_for_a_loss_that_was_not_measured(quant: Path) -> None:
    proof = proof_of(quant)
    assert (proof.verified, proof.has_fields, proof.loss, proof.damage) == (None, True, None, None)
    assert verified(quant)
    digest = hashlib.sha256()
    with open_checkpoint(quant) as checkpoint:
        for name, info in checkpoint.tensors.items():
            digest.update(table_entry(info) + checkpoint.read(name).data.tobytes())
    assert proof.tensors_sha256 == digest.hexdigest()


def test_a_stored_loss_reads_back_and_moves_no_tensor(quant: Path) -> None:
    before = quant.read_bytes()
    with open_checkpoint(quant) as checkpoint:
        identity = identify(checkpoint)
        first_tensor = min(info.offset for info in checkpoint.tensors.values())
    write_proof(quant, LOSS)
    after = quant.read_bytes()
    assert after != before
    assert after[first_tensor:] == before[first_tensor:] and len(after) == len(before)
    assert verified(quant) and proof_of(quant).loss == LOSS
    with open_checkpoint(quant) as checkpoint:
        assert identify(checkpoint) == identity  # so that a run folder still belongs to the file
    write_proof(quant, replace(LOSS, tokens=1, examples=()))
    assert proof_of(quant).loss == replace(LOSS, tokens=1, examples=())


OTHER = replace(LOSS, kl=Interval(2.0, 1.5, 2.5), tokens=99, verdict="BROKEN", examples=())


@pytest.mark.parametrize("stored", [False, True])
def test_a_loss_that_was_written_in_part_counts_as_not_measured(quant: Path, stored: bool) -> None:
    """A disk may write the sectors of the values in any order, but the check is synced later."""
    if stored:
        write_proof(quant, OTHER)
    old = quant.read_bytes()
    write_proof(quant, LOSS)
    new = quant.read_bytes()
    changed = [at for at, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
    check = new.index(b"zeropoint.kl.check")
    values = [at for at in changed if at < check]
    for at in values[1 :: len(values) // 10]:
        for mixed in (new[:at] + old[at:], old[:at] + new[at:check] + old[check:]):
            quant.write_bytes(mixed)
            proof = proof_of(quant)
            assert proof.loss is None and proof.damage, at
    for at in changed[len(values) + 1 :]:  # the check itself in part
        quant.write_bytes(new[:at] + old[at:])
        assert proof_of(quant).loss is None, at


@pytest.mark.parametrize("call", range(1, 16))
def test_an_error_while_a_loss_is_stored_leaves_no_wrong_loss(
    quant: Path, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_proof(quant, OTHER)
    calls: list[str] = []

    def failing(name: str) -> Callable[..., object]:
        real = getattr(file_ops, name)

        def run(*arguments: object) -> object:
            calls.append(name)
            if len(calls) == call:
                raise OSError(errno.EIO, "input/output error")
            return real(*arguments)

        return run

    for name in ("open_claimed", "pwrite", "fsync"):
        monkeypatch.setattr(file_ops, name, failing(name))
    try:
        write_proof(quant, LOSS)
    except CheckpointError:
        assert len(calls) == call
    monkeypatch.undo()
    loss = proof_of(quant).loss
    whole = ["open_claimed", *["pwrite"] * (len(WIDTHS) - 1), "fsync", "pwrite", "fsync"]
    assert calls == whole[: len(calls)]
    expected = {1: OTHER, 2: OTHER, len(whole): LOSS, len(whole) + 1: LOSS}
    assert loss == expected.get(call), call
    if call > len(whole):
        assert len(calls) == len(whole)


def test_a_loss_that_was_copied_to_other_tensors_counts_as_not_measured(quant: Path) -> None:
    write_proof(quant, LOSS)
    data = quant.read_bytes()
    with open_checkpoint(quant) as checkpoint:
        digest = str(checkpoint.metadata["zeropoint.tensors.sha256"]).encode()
    quant.write_bytes(data.replace(digest, bytes(reversed(digest))))
    proof = proof_of(quant)
    assert proof.loss is None and proof.damage and "other tensors" in proof.damage


def test_examples_are_stored_only_of_built_in_text() -> None:
    result = MeasureResult(
        kl=KL(0.125, 0.1, 0.15), reference=ReferenceIdentity("ref.gguf"),
        text=TextRead("ab" * 32, True, 512, 8), changed_predictions=(EXAMPLE,),
    )  # fmt: skip
    assert StoredLoss.of(result).examples == (EXAMPLE,)
    own = replace(result, text=TextRead("ab" * 32, False, 512, 8))
    assert StoredLoss.of(own).examples == ()


def test_one_changed_weight_changes_the_digest(quant: Path) -> None:
    data = bytearray(quant.read_bytes())
    with open_checkpoint(quant) as checkpoint:
        info = list(checkpoint.tensors.values())[-1]
    data[info.offset + info.nbytes - 1] ^= 1
    quant.write_bytes(bytes(data))
    assert verified(quant) is False


def test_more_texts_and_examples_than_fit_are_left_out(quant: Path) -> None:
    texts = {f"text {n}": TextLoss(1 / 3, 0.1, 0.9, 10**6) for n in range(100)}
    write_proof(quant, replace(LOSS, by_text=texts, examples=(EXAMPLE,) * 100))
    loss = proof_of(quant).loss
    assert loss is not None
    assert 10 < len(loss.by_text) < 100 and 3 <= len(loss.examples) < 100


def test_files_without_fields_and_links_are_refused(quant: Path, tmp_path: Path) -> None:
    assert not proof_of(tmp_path / "tiny.gguf").has_fields
    with pytest.raises(CheckpointError, match="no fields for a measured loss"):
        write_proof(tmp_path / "tiny.gguf", LOSS)
    with pytest.raises(CheckpointError, match="no digest"):
        verified(tmp_path / "tiny.gguf")
    (tmp_path / "link.gguf").symlink_to(quant)
    before = quant.read_bytes()
    with pytest.raises(CheckpointError, match="is a link"):
        write_proof(tmp_path / "link.gguf", LOSS)
    assert quant.read_bytes() == before
