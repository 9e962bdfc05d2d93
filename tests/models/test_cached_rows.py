"""Keys and values in the cache as F16, Q8_0 and Q4_0: specification and compiled pass."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from support.families import FAMILIES, random_model, write_gguf
from zeropoint import kernels
from zeropoint.checkpoints import open_checkpoint
from zeropoint.errors import UnsupportedModel
from zeropoint.formats import FORMATS
from zeropoint.models import load_model
from zeropoint.models.cached_rows import CACHE_TYPES, CachedRows, CacheTypes, hadamard
from zeropoint.models.layer_state import KeyValueShape, KeyValueState, StateRoom
from zeropoint.models.loading import DecoderModel

TYPES = [
    CacheTypes(keys, values, rotated)
    for keys, values, rotated in (
        ("F16", "F16", True),
        ("Q8_0", "Q8_0", True),
        ("Q8_0", "Q8_0", False),
        ("Q4_0", "Q4_0", True),
        ("Q8_0", "Q4_0", True),
        ("F32", "Q4_0", False),
    )
]
TOKENS = np.random.default_rng(0).integers(3, 260, 45)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DecoderModel:
    """A model with heads of 64 values: windows of 11 positions, and some layers without."""
    family = FAMILIES["gemma3"]
    keys = family.keys | {"attention.key_length": 64, "attention.value_length": 64}
    wide = replace(family, options=family.options | {"head_dim": 64}, keys=keys)
    path = write_gguf(tmp_path_factory.mktemp("cache") / "m.gguf", wide, random_model(wide))
    loaded = load_model(open_checkpoint(path), threads=1)
    assert isinstance(loaded, DecoderModel)
    return loaded


def awkward(rows: int, size: int) -> np.ndarray:
    x = np.random.default_rng(1).standard_normal((rows, size)).astype(np.float32)
    x[0], x[1, ::3], x[2] = 0.0, -0.0, 1e-42
    x[3, 5], x[4], x[5, 7] = 3e38, 1e-30 * x[4], 7e4
    return x


@pytest.mark.parametrize("name", ["Q8_0", "Q4_0"])
def test_blocks_are_those_of_the_format(name: str) -> None:
    rows = awkward(40, 96)
    stored = CachedRows(name)
    blocks = stored.encode(rows)
    decoded = kernels.decode(FORMATS[name], blocks.reshape(-1, stored.block_bytes)).reshape(
        rows.shape
    )
    np.testing.assert_array_equal(decoded, stored.decode(blocks))
    usual = np.r_[6:40]
    step = np.abs(rows[usual]).reshape(-1, 32).max(axis=1) / (127 if name == "Q8_0" else 8)
    errors = np.abs(decoded - rows)[usual].reshape(-1, 32).max(axis=1)
    # half a step, or a whole one for the largest of the other sign in Q4_0; and float16's scale
    assert (errors <= step * (0.5 if name == "Q8_0" else 1.0) + step * 128 * 2.0**-11).all()


def test_a_block_that_is_not_finite_decodes_to_nan() -> None:
    for name in ("Q8_0", "Q4_0"):
        rows = np.ones((2, 32), np.float32)
        rows[1, 3] = np.inf
        stored = CachedRows(name)
        decoded = stored.decode(stored.encode(rows))
        assert np.isfinite(decoded[0]).all() and not np.isfinite(decoded[1]).any()


@pytest.mark.parametrize("size", [64, 128, 256])
def test_a_rotation_is_its_own_inverse_and_keeps_lengths(size: int) -> None:
    x = np.random.default_rng(2).standard_normal((7, 2 * size)).astype(np.float32)
    turned = hadamard(x, size)
    assert np.abs(hadamard(turned, size) - x).max() < 1e-6 * np.sqrt(size)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(x, axis=1), rtol=1e-5)
    first = np.zeros(size, np.float32)
    first[0] = 8.0
    assert (hadamard(first, size) == np.float32(8.0) * np.float32(1 / np.sqrt(size))).all()


@pytest.mark.parametrize("types", TYPES, ids=lambda types: types.name)
def test_the_compiled_cache_holds_the_bytes_of_the_specification(
    model: DecoderModel, types: CacheTypes
) -> None:
    exact, rounded = model.cache(64), (other := model.with_cache_types(types)).cache(64)
    model.hidden(TOKENS, exact)
    other.hidden(TOKENS, rounded)
    first, found = exact.states[0], rounded.states[0]
    assert isinstance(first, KeyValueState) and isinstance(found, KeyValueState)
    count = len(TOKENS)
    size = model.architecture.layers[0].attention.head_size
    keys, values = first.read(0, 0, count)
    stored = types.of_keys(size), types.of_values(size)
    wanted = KeyValueState(
        KeyValueShape(kv_heads=keys.shape[0], head_size=size, value_size=size, window=None,
                      keys=stored[0], values=stored[1]),
        StateRoom(sequences=1, capacity=64, chunk=64, passing=True),
    )  # fmt: skip
    turned = (
        stored[0].rotate(keys.swapaxes(0, 1)),
        stored[1].rotate(values.swapaxes(0, 1)[..., :size]),
    )
    wanted.write(0, 0, *turned)
    for ours, theirs in zip(found.arrays, wanted.arrays, strict=True):
        np.testing.assert_array_equal(ours, theirs[:, :, : ours.shape[2]])


@pytest.mark.parametrize("types", TYPES, ids=lambda types: types.name)
def test_chunks_and_threads_and_cuts_do_not_change_a_bit(
    model: DecoderModel, types: CacheTypes
) -> None:
    other = model.with_cache_types(types)
    whole = other.hidden(TOKENS)
    cache = other.cache(64)
    parts = [other.hidden(part, cache) for part in np.split(TOKENS, [1, 2, 9, 30])]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    cache.truncate(40)
    np.testing.assert_array_equal(other.hidden(TOKENS[40:], cache), whole[40:])
    assert not np.array_equal(whole, model.hidden(TOKENS))


@pytest.mark.parametrize("types", TYPES, ids=lambda types: types.name)
def test_the_numpy_pass_agrees(model: DecoderModel, types: CacheTypes) -> None:
    from zeropoint.models import transformer
    from zeropoint.models.cache import Cache

    other = model.with_cache_types(types)
    cache = Cache(other.architecture, len(TOKENS), chunk=len(TOKENS))
    cache.grow([0], len(TOKENS))
    weights, start = other._weights, np.zeros(1, np.int64)
    embedded = weights.rows(other.architecture.embedding, TOKENS)[None]
    (ours,) = transformer.run(other.architecture, weights, embedded, cache, start)
    theirs = other.hidden(TOKENS)
    # Rounding may go to the next code where the two engines differ in a last bit.
    effect = np.abs(theirs - model.hidden(TOKENS)).mean()
    assert np.abs(ours - theirs).mean() < 0.25 * effect


@pytest.mark.parametrize("name", ["f16", "q8_0", "q4_0", "f16/q4_0"])
def test_attention_to_a_cache_is_attention_to_what_it_decodes_to(name: str) -> None:
    """Bit for bit, through a layer that reads another one's keys and values."""
    sizes = {"heads": 4, "kv_heads": 2, "head_size": 32, "value_size": 64, "window": 21}
    rng = np.random.default_rng(5)
    types = CacheTypes.parse(name, rotated=False)
    stored = {"keys": types.of_keys(32), "values": types.of_values(64)}
    shape = {key: sizes[key] for key in ("kv_heads", "head_size", "value_size", "window")}
    room = StateRoom(sequences=1, capacity=45, chunk=45, passing=True)
    rounded = KeyValueState(KeyValueShape(**shape, **stored), room)
    rows = [rng.standard_normal((45, 2, size)).astype(np.float32) for size in (32, 64)]
    rounded.write(0, 0, *rows)
    plain = KeyValueState(KeyValueShape(**shape), room)
    plain.write(0, 0, *(part.swapaxes(0, 1) for part in rounded.read(0, 0, 45)))
    x = rng.standard_normal((1, 45, 48)).astype(np.float32)
    matrices = [rng.standard_normal((128, 48)), rng.standard_normal((48, 256))]
    outputs = []
    for state, kinds in ((rounded, stored), (plain, {})):
        layer = kernels.make_layer("silu")
        for key, value in sizes.items():
            setattr(layer, key, value)
        layer.shares = True
        for side in kinds:
            setattr(layer, f"{side[:-1]}_type", kernels.cache_type(kinds[side].type))
        for role, weights in zip(("attn_q", "attn_output"), matrices, strict=True):
            blocks = np.ascontiguousarray(weights, "<f4").view(np.uint8).reshape(-1, 4)
            packed = kernels.pack_slabs(FORMATS["F32"], weights.shape, [blocks], threads=1)
            setattr(layer, role, kernels.make_linear(packed, None, 1.0))
        transformer = kernels.make_transformer(48, 1e-6, np.empty(0, np.float32), [layer])
        out, start, none = x.copy(), np.zeros(1, np.int64), np.empty(0, np.float32)
        transformer.run(out, start, [], [[state.arrays]], none, "exact", 1, None)
        outputs.append(out)
    np.testing.assert_array_equal(*outputs)
    assert not np.array_equal(outputs[0], x)


def test_names_of_types_are_read_and_refused() -> None:
    assert CacheTypes.parse("q8_0") == CacheTypes("Q8_0", "Q8_0")
    assert CacheTypes.parse("q8_0/q4_0").name == "q8_0/q4_0"
    assert CacheTypes.parse("f32").exact and set(CACHE_TYPES) == {"F32", "F16", "Q8_0", "Q4_0"}
    for text in ("q5_0", "q8_0/q4_0/f16", "", "q8_0/"):
        with pytest.raises(UnsupportedModel, match="KV cache"):
            CacheTypes.parse(text)
    with pytest.raises(UnsupportedModel, match="heads of size 80"):
        CacheTypes.parse("q4_0").of_keys(80)


def test_a_cache_of_fewer_bits_takes_fewer_bytes(model: DecoderModel, tmp_path: Path) -> None:
    exact = model.cache(4096).max_bytes
    for name, bits in (("f16", 16), ("q8_0", 8.5), ("q4_0", 4.5)):
        other = model.with_cache_types(CacheTypes.parse(name)).cache(4096)
        assert other.max_bytes == exact * bits / 32
