"""One pass, many, batches, threads, caches: the same bits; and what goes in can be watched."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from support.families import FAMILIES, VOCABULARY, Family, random_model, write_gguf
from zeropoint.checkpoints import open_checkpoint
from zeropoint.errors import CheckpointError, MeasurementError
from zeropoint.formats import FORMATS, find_format
from zeropoint.models import Cache, LanguageModel, Mode, load_model, transformer
from zeropoint.models.layer_state import KeyValueState
from zeropoint.quantizers import dequantize, quantize

ALL = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
MODES = pytest.mark.parametrize("mode", ["exact", "fast"])
COUNT = 40  # beyond the windows (7), their rings and one tile of 16


def loaded(path: Path, family: Family, mode: Mode = "exact", threads: int = 1) -> LanguageModel:
    if not path.exists():
        write_gguf(path, family, random_model(family), "Q8_0")
    return load_model(open_checkpoint(path), mode=mode, threads=threads)


def some_tokens(*shape: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, VOCABULARY, shape)


@ALL
@MODES
def test_threads_batch_and_chunks_change_no_bit(family: Family, mode: Mode, tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    model = loaded(path, family, mode)
    tokens = some_tokens(3, COUNT)
    together = model.hidden(tokens)
    np.testing.assert_array_equal(loaded(path, family, mode, threads=3).hidden(tokens), together)
    for row, sequence in enumerate(tokens):
        np.testing.assert_array_equal(model.hidden(sequence), together[row])
    for sizes in ([1] * COUNT, [17, 1, 3, COUNT - 21]):
        cache = model.cache(COUNT, sequences=3)
        parts = np.split(tokens, np.cumsum(sizes)[:-1], axis=1)
        apart = np.concatenate([model.hidden(part, cache) for part in parts], axis=1)
        np.testing.assert_array_equal(apart, together)


@ALL
@MODES
def test_caches_extended_together_are_what_each_would_be_alone(
    family: Family, mode: Mode, tmp_path: Path
) -> None:
    model = loaded(tmp_path / "m.gguf", family, mode)
    prompts = [some_tokens(length) for length in (5, 9, 2)]
    alone, together = ([model.cache(16) for _ in prompts] for _ in range(2))
    for prompt, one, other in zip(prompts, alone, together, strict=True):
        model.hidden(prompt, one)
        model.hidden(prompt, other)
    for tokens in some_tokens(3, 3):
        states = model.extend(tokens.tolist(), together)
        wanted = [model.hidden([one], cache)[0] for one, cache in zip(tokens, alone, strict=True)]
        assert states.tobytes() == np.stack(wanted).tobytes()
    assert [int(cache.lengths[0]) for cache in together] == [8, 12, 5]


@ALL
def test_a_ring_for_windows_changes_no_bit(family: Family, tmp_path: Path) -> None:
    model = loaded(tmp_path / "tiny.gguf", family)
    tokens = some_tokens(2, 100)
    cache = Cache(model.architecture, 100, sequences=2, chunk=9)
    windowed = any(layer.attention.window for layer in model.architecture.layers if layer.attention)
    states = [state for state in cache.states if isinstance(state, KeyValueState)]
    assert (min(state.max_slots for state in states) < 100) == windowed
    assert max(state.slots for state in states) == 16
    for sequence in range(2):
        cache.keep(95, sequence)  # of recurrent layers; the others need nothing
    np.testing.assert_array_equal(model.hidden(tokens, cache), model.hidden(tokens))
    assert all(state.slots == state.max_slots for state in states)  # as many as were needed
    if windowed:
        with pytest.raises(ValueError, match="last 9"):
            cache.truncate(90)
    cache.truncate(95)
    cache.truncate(95, sequence=1)
    again = model.hidden(tokens[:, 95:], cache)
    np.testing.assert_array_equal(again, model.hidden(tokens)[:, 95:])


@ALL
def test_the_compiled_transformer_is_its_twin_in_numpy(family: Family, tmp_path: Path) -> None:
    model = loaded(tmp_path / "tiny.gguf", family)
    tokens = some_tokens(2, COUNT)
    weights = model._weights  # type: ignore[attr-defined]
    embedded = weights.rows("token_embd.weight", tokens.reshape(-1)).reshape(2, COUNT, -1)
    cache = Cache(model.architecture, COUNT, sequences=2, chunk=COUNT)
    looked_up = model._look_up(tokens)  # type: ignore[attr-defined]
    starts = np.zeros(2, np.int64)
    twin = transformer.run(model.architecture, weights, embedded, cache, starts, looked_up)
    # States are of size 1, and both are some 1e-6 from what float64 would give.
    assert np.abs(model.hidden(tokens) - twin).max() < 3e-5


@ALL
def test_every_matrix_can_be_watched(family: Family, tmp_path: Path) -> None:
    """The observed inputs are the multiplied ones: the numpy twin gives the same rows."""
    model = loaded(tmp_path / "tiny.gguf", family)
    tokens = some_tokens(COUNT)
    sums: dict[str, np.ndarray] = {}

    def count(name: str, rows: np.ndarray, expert: int | None) -> None:
        assert (expert is not None) == ("_exps" in name)
        sums[name] = sums.get(name, 0) + (rows.astype(np.float64) ** 2).sum(axis=0)

    for name in model.matrices():
        model.set_hook(name, partial(count, name))
    model.logits(tokens)
    assert set(sums) == set(model.matrices())
    compiled = dict(sums)
    sums.clear()
    weights = model._weights  # type: ignore[attr-defined]
    embedded = weights.rows("token_embd.weight", tokens)[None]
    cache = Cache(model.architecture, COUNT, chunk=COUNT)
    looked_up = model._look_up(tokens[None])  # type: ignore[attr-defined]
    starts = np.zeros(1, np.int64)
    transformer.run(model.architecture, weights, embedded, cache, starts, looked_up)
    for name, twin in sums.items():
        assert np.abs(compiled[name] - twin).max() < 1e-4 * np.abs(twin).max()
        model.set_hook(name, None)
    sums.clear()
    model.hidden(tokens)
    assert not sums


def test_a_replaced_matrix_is_used_and_only_then(tmp_path: Path) -> None:
    family = FAMILIES["llama"]
    model = loaded(tmp_path / "tiny.gguf", family)
    tokens = some_tokens(20)
    before = model.logits(tokens)
    source = open_checkpoint(tmp_path / "tiny.gguf")
    for name in ("blk.1.ffn_down.weight", "token_embd.weight", "output_norm.weight"):
        own = source.read(name)
        values = own.format.decode_blocks(own.data).reshape(own.shape)
        half = quantize(values / 2, FORMATS["F32"], threads=1)
        model.replace(name, half)
        assert np.abs(model.logits(tokens) - before).max() > 1e-3
        model.replace(name, own)
        np.testing.assert_array_equal(model.logits(tokens), before)
    with pytest.raises(CheckpointError, match="the file has no such tensor"):
        model.replace("blk.9.ffn_down.weight", own)
    with pytest.raises(CheckpointError, match="shape"):
        model.replace("blk.1.ffn_down.weight", own)


@pytest.mark.parametrize("kind", ["llama", "mixtral"])
def test_what_comes_later_is_not_read_and_makes_the_same_model(kind: str, tmp_path: Path) -> None:
    family = FAMILIES[kind]
    before = loaded(tmp_path / "tiny.gguf", family).logits(some_tokens(20))
    source = open_checkpoint(tmp_path / "tiny.gguf")
    later = {name for name, info in source.tensors.items() if len(info.shape) > 1}
    reads: list[str] = []
    real = source.read_rows
    source.read_rows = lambda name, *rows: reads.append(name) or real(name, *rows)  # type: ignore[method-assign]
    model = load_model(source, threads=1, later=later)
    assert not later & set(reads)
    for name in sorted(later):
        model.replace(name, source.read(name))
    np.testing.assert_array_equal(model.logits(some_tokens(20)), before)


@pytest.mark.parametrize("kind", ["llama", "mixtral", "gemma2"])
@pytest.mark.parametrize("share", ["TENSOR", "ROW", "G32"])
def test_whoever_shares_a_scale_the_model_is_that_of_the_decoded_weights(
    kind: str, share: str, tmp_path: Path
) -> None:
    models = [loaded(tmp_path / f"{n}.gguf", FAMILIES[kind]) for n in range(2)]
    source = open_checkpoint(tmp_path / "0.gguf")
    format = find_format(f"INT6_ASYM_{share}")
    for name, info in source.tensors.items():
        if len(info.shape) < 2:
            continue
        own = source.read(name)
        values = own.format.decode_blocks(own.data).reshape(info.shape)
        coded = quantize(values, format, threads=1)
        assert (share == "TENSOR") == (len(coded.data) == 1)
        models[0].replace(name, coded)
        decoded = dequantize(coded, threads=1).reshape(info.shape)
        models[1].replace(name, quantize(decoded, FORMATS["F32"], threads=1))
    logits = [model.logits(some_tokens(20)) for model in models]
    np.testing.assert_array_equal(*logits)


def test_tokens_that_are_none_are_refused(tmp_path: Path) -> None:
    model = loaded(tmp_path / "tiny.gguf", FAMILIES["llama"])
    for tokens in ([VOCABULARY], [-1], [], [[]], [0.5]):
        with pytest.raises(MeasurementError):
            model.hidden(tokens)  # type: ignore[arg-type]
    with pytest.raises(MeasurementError, match="the context is full"):
        model.hidden([1, 2, 3], model.cache(2))


@ALL
def test_transformers_reads_our_cache(family: Family, tmp_path: Path) -> None:
    """Its modules in parts through the view of our cache, against one pass of ours."""
    path = tmp_path / "tiny.gguf"
    whole = loaded(path, family).hidden(some_tokens(2, 60))
    judge = load_model(open_checkpoint(path), threads=1, engine="transformers")
    cache = Cache(judge.architecture, 60, sequences=2, chunk=25)
    parts = [judge.hidden(part, cache) for part in np.split(some_tokens(2, 60), [30, 31], axis=1)]
    assert np.abs(np.concatenate(parts, axis=1) - whole).max() < 5e-5
