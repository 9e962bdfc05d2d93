"""Bytes of a running model: of published models, and what llama.cpp logged for made ones."""

from math import prod
from pathlib import Path

import pytest

from support import published_configs as published
from support.tiny_models import write_model
from zeropoint.checkpoints import open_checkpoint
from zeropoint.errors import CheckpointError, RecipeError, UnsupportedModel
from zeropoint.plans.memory.cache_shape import LayerCache, ModelShape, read_shape
from zeropoint.plans.memory.configs import read_config
from zeropoint.plans.memory.layers import DescribedModel
from zeropoint.plans.memory.memory import (
    PlanWorkload,
    compute_bytes,
    memory_use,
    parse_cache,
    token_bytes,
)

KIB, MIB, GIB = 2**10, 2**20, 2**30


def model(config: dict[str, object]) -> DescribedModel:
    return read_config(Path("config.json"), config)


def weights(found: DescribedModel) -> int:
    return sum(prod(tensor.shape) for tensor in found.tensors.values())


@pytest.mark.parametrize(
    ("config", "billions"),
    [
        (published.LLAMA_8B, 8.03), (published.QWEN_14B, 14.77), (published.GEMMA_27B, 27.0),
        (published.QWEN_27B, 26.9), (published.CODER_NEXT, 79.7), (published.LLAMA_4_SCOUT, 107.8),
        (published.GPT_OSS_120B, 116.8), (published.DEEPSEEK_V3, 671.0),
        (published.KIMI_K2, 1026.4),
    ],
)  # fmt: skip
def test_a_config_has_as_many_weights_as_its_maker_says(config, billions):
    assert weights(model(config)) / 1e9 == pytest.approx(billions, rel=0.002)


@pytest.mark.parametrize("name", published.FAMILIES)
def test_any_decoder_s_config_is_read(name):
    billions, cached, config = published.FAMILIES[name]
    found = model(config)
    assert weights(found) / 1e9 == pytest.approx(billions, rel=0.006)
    assert sum(bool(layer.keys) for layer in found.shape.layers) == cached


def test_grouped_heads_cost_128_kib_a_token_and_68_in_8_bits():
    llama = model(published.LLAMA_8B).shape
    assert token_bytes(llama, PlanWorkload()) == 128 * KIB
    assert token_bytes(llama, PlanWorkload(keys="Q8_0", values="Q8_0")) == 68 * KIB
    assert memory_use(llama, (), PlanWorkload(context=32768)).kv_bytes == 4 * GIB


def test_keys_and_values_may_differ_in_format():
    llama = model(published.LLAMA_8B).shape
    mixed = token_bytes(llama, PlanWorkload(keys="Q8_0", values="Q4_0"))
    assert mixed == 32 * 1024 * (34 + 18) // 32
    assert parse_cache("q8_0/q4_0") == ("Q8_0", "Q4_0")


@pytest.mark.parametrize("config", [published.DEEPSEEK_V3, published.KIMI_K2])
def test_latent_attention_keeps_one_vector_for_all_heads(config):
    assert token_bytes(model(config).shape, PlanWorkload()) == 61 * (512 + 64) * 2  # 68.6 KiB


def test_windows_save_four_fifths_of_gemma_s_cache():
    gemma = model(published.GEMMA_27B).shape
    windowed = memory_use(gemma, (), PlanWorkload(context=32768)).kv_bytes
    whole = memory_use(gemma, (), PlanWorkload(context=32768, full_windows=True)).kv_bytes
    assert (round(windowed / GIB, 1), round(whole / GIB, 1)) == (3.1, 15.5)


def test_recurrent_layers_cost_the_same_whatever_the_context():
    qwen = model(published.QWEN_27B).shape
    assert token_bytes(qwen, PlanWorkload()) == 64 * KIB
    assert sum(bool(layer.keys) for layer in qwen.layers) == 16
    states = memory_use(qwen, (), PlanWorkload(context=512)).state_bytes
    assert round(states / MIB) == 150
    assert memory_use(qwen, (), PlanWorkload(context=100_000)).state_bytes == states
    assert memory_use(qwen, (), PlanWorkload(context=512, users=3)).state_bytes == 3 * states


def test_logits_of_a_large_vocabulary_are_the_largest_buffer():
    qwen = model(published.QWEN_27B).shape
    assert 4 * qwen.vocabulary * 512 / MIB == 485
    assert 485 * MIB < compute_bytes(qwen, PlanWorkload()) < 510 * MIB
    assert compute_bytes(qwen, PlanWorkload(batch=4096)) > 3.78 * GIB


@pytest.mark.parametrize(
    ("config", "gigabytes"),
    [(published.KIMI_K2, 2053), (published.CODER_NEXT, 159.4), (published.GEMMA_27B, 54.0)],
)
def test_at_16_bits_a_weight_is_two_bytes(config, gigabytes):
    found = model(config)
    memory = memory_use(found.shape, found.tensors.values(), PlanWorkload())
    assert memory.weights_bytes / 1e9 == pytest.approx(gigabytes, rel=0.002)


# Logged by llama.cpp (2026-10) for a llama of 4 layers, width 4096, 32/8 heads of 128, feed-forward
# 14336, vocabulary 1024: (context, batch, flash) and MiB of cache and compute buffer.
@pytest.mark.parametrize(
    ("context", "batch", "flash", "cache", "compute"),
    [
        (512, 512, True, 8, 116.51), (4096, 512, True, 64, 120.01), (32768, 512, True, 512, 148.01),
        (131072, 512, True, 2048, 244.01), (4096, 128, True, 64, 30.00),
        (4096, 2048, True, 64, 480.05), (32768, 2048, True, 512, 592.05),
        (4096, 512, False, 64, 308.01), (32768, 512, False, 512, 2156.01),
    ],
)  # fmt: skip
def test_buffers_are_those_that_llama_cpp_logged(context, batch, flash, cache, compute):
    layer = LayerCache(keys=1024, values=1024, heads=32, head_size=128)
    shape = ModelShape(architecture="llama", layers=(layer,) * 4, width=4096, vocabulary=1024,
                  feed_forward=14336)  # fmt: skip
    memory = memory_use(shape, (), PlanWorkload(context=context, batch=batch, flash=flash))
    assert memory.kv_bytes == cache * MIB
    assert memory.compute_bytes / MIB == pytest.approx(compute, rel=0.02)


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "qwen2"])
def test_a_file_s_weights_are_its_tensors_to_the_byte(tmp_path, architecture):
    path = write_model(tmp_path / "m.gguf", architecture)
    with open_checkpoint(path) as opened:
        memory = memory_use(read_shape(opened), opened.tensors.values(), PlanWorkload(context=512))
        assert memory.weights_bytes == sum(info.nbytes for info in opened.tensors.values())


def test_several_users_share_a_cache_that_is_padded_once():
    llama = model(published.LLAMA_8B).shape
    assert memory_use(llama, (), PlanWorkload(context=100, users=2)).kv_bytes == 256 * 128 * KIB


def test_a_small_context_is_rounded_up_to_256():
    llama = model(published.LLAMA_8B).shape
    assert memory_use(llama, (), PlanWorkload(context=1)).kv_bytes == 256 * 128 * KIB


@pytest.mark.parametrize(
    "arguments",
    [{"context": 0}, {"context": -5}, {"users": 0}, {"batch": 0},
     {"values": "Q8_0", "flash": False}],
)  # fmt: skip
def test_a_demand_that_makes_no_sense_is_refused(arguments):
    with pytest.raises(RecipeError):
        PlanWorkload(**arguments)


def test_a_cache_cannot_be_in_a_weight_s_format():
    with pytest.raises(RecipeError, match="q8_0"):
        parse_cache("Q4_K")


def test_rows_that_are_no_whole_blocks_are_refused():
    layer = LayerCache(keys=80, values=80, heads=1, head_size=80)
    shape = ModelShape(architecture="x", layers=(layer,), width=80, vocabulary=10, feed_forward=80)
    with pytest.raises(RecipeError, match="rows of 80"):
        memory_use(shape, (), PlanWorkload(keys="Q8_0", values="Q8_0"))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"num_attention_heads": None}, "num_attention_heads"),
        ({"num_attention_heads": 0}, "num_attention_heads"),
        ({"num_key_value_heads": 5}, "num_attention_heads"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"num_hidden_layers": 2**31 - 1}, "num_hidden_layers"),
        ({"hidden_size": -1}, "hidden_size"),
        ({"vocab_size": "many"}, "vocab_size"),
        ({"layer_types": ["full_attention"]}, "layer_types"),
    ],
)  # fmt: skip
def test_a_config_without_what_is_needed_is_refused_by_name(changes, named):
    with pytest.raises(CheckpointError, match=named):
        model(published.LLAMA_8B | changes)


@pytest.mark.parametrize(
    "config",
    [
        {"name": "something else"},
        {"model_type": "bert", "hidden_size": 768, "num_hidden_layers": 12, "vocab_size": 30522,
         "num_attention_heads": 12},
        {"model_type": "t5", "d_model": 512, "num_layers": 6, "num_heads": 8, "vocab_size": 32128},
        {"model_type": "other", "hidden_size": 512, "num_hidden_layers": 6, "vocab_size": 9,
         "num_attention_heads": 8, "is_encoder_decoder": True},
    ],
)  # fmt: skip
def test_what_describes_no_decoder_is_refused(config):
    with pytest.raises(UnsupportedModel, match="no decoder"):
        model(config)


def test_griffin_s_windows_end_and_its_recurrences_have_no_cache():
    griffin = model(published.FAMILIES["RecurrentGemma 2B"][2]).shape
    short = memory_use(griffin, (), PlanWorkload(context=8192))
    long = memory_use(griffin, (), PlanWorkload(context=131072))
    assert short.kv_bytes == long.kv_bytes
    assert short.state_bytes == 18 * 4 * 4 * 2560


# GGUF keys and tensors of architectures that cannot be run here, and what llama.cpp caches of them.
def gguf(architecture: str, keys: dict[str, object], names: list[str]) -> object:
    class Like:
        metadata = {"general.architecture": architecture} | {
            f"{architecture}.{key}": value for key, value in keys.items()
        }
        tensors = dict.fromkeys(names)

    return Like()


HEADS = {"embedding_length": 64, "attention.head_count": 4, "attention.head_count_kv": 2,
         "attention.key_length": 32, "attention.value_length": 32, "vocab_size": 100}  # fmt: skip


def attention_names(layers: range) -> list[str]:
    return [f"blk.{i}.{role}.weight" for i in layers for role in ("attn_k", "attn_output")]


def test_layers_for_predicting_several_tokens_have_no_cache_of_the_trunk_s():
    keys = HEADS | {"block_count": 3, "nextn_predict_layers": 1}
    assert len(read_shape(gguf("glm4moe", keys, attention_names(range(3)))).layers) == 2


def test_gemma_3n_s_upper_layers_share_the_caches_below():
    keys = HEADS | {"block_count": 25, "attention.sliding_window": 512}
    layers = read_shape(gguf("gemma3n", keys, attention_names(range(25)))).layers
    assert [bool(layer.keys) for layer in layers] == [True] * 20 + [False] * 5
    assert [layer.window for layer in layers[:5]] == [512] * 4 + [None]


def test_a_mamba_layer_has_a_state_and_an_attention_layer_a_cache():
    names = ["blk.0.ssm_in.weight", "blk.0.ssm_out.weight", *attention_names(range(1, 2))]
    keys = HEADS | {
        "block_count": 2, "ssm.conv_kernel": 4, "ssm.inner_size": 128, "ssm.state_size": 16,
        "ssm.group_count": 1, "attention.head_count_kv": [0, 2],
    }  # fmt: skip
    first, second = read_shape(gguf("granitehybrid", keys, names)).layers
    assert (first.keys, first.state) == (0, 3 * (128 + 2 * 16) + 16 * 128)
    assert (second.keys, second.values, second.state) == (64, 64, 0)


def test_a_window_that_llama_cpp_ignores_is_ignored():
    keys = HEADS | {"block_count": 2, "attention.sliding_window": 16}
    assert not read_shape(gguf("llama", keys, attention_names(range(2)))).windowed
    assert not read_shape(gguf("phi3", keys, attention_names(range(2)))).windowed


def test_a_file_that_does_not_say_its_heads_is_refused():
    keys = {"embedding_length": 64, "block_count": 1}
    with pytest.raises(UnsupportedModel, match="head_count is missing"):
        read_shape(gguf("llama", keys, attention_names(range(1))))
    with pytest.raises(UnsupportedModel, match="block_count is 0"):
        read_shape(gguf("llama", keys | {"block_count": 0}, []))
