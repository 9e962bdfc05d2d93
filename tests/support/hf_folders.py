"""Small random Hugging Face folders of every family, as transformers itself writes them.

Random weights keep their spread (0.1 and more, unlike transformers' initial 0.02), so that a wrong
row, sign or scale moves the logits far beyond rounding.
"""

import json
from collections.abc import Mapping
from pathlib import Path

VOCABULARY = 320
CONTEXT = 256

_COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
# The length of the temperature's steps is shorter than the tests' sequences.
MINISTRAL3_ROPE = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 16,
    "beta_fast": 24.0,
    "mscale": 1.0,
    "mscale_all_dim": 0.5,
    "llama_4_scaling_beta": 0.4,
}

DELTA_NET = {
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 8,
    "head_dim": 32,
    "layer_types": ["linear_attention"] * 2 + ["full_attention", "linear_attention"],
}

DELTA_EXPERTS = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 64,
    "shared_expert_intermediate_size": 96,
}

_GEMMA4 = {
    "head_dim": 16,
    "global_head_dim": 32,
    "sliding_window": 32,
    "num_hidden_layers": 6,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"] * 2,
    "vocab_size_per_layer_input": VOCABULARY,
    "tie_word_embeddings": True,
}
_GEMMA4_SHARED = {"num_kv_shared_layers": 3, "use_double_wide_mlp": True}

FAMILIES: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "llama2": ("Llama", {"tie_word_embeddings": False}),
    "llama3": ("Llama", {"rope_parameters": _LLAMA3_ROPE, "tie_word_embeddings": True}),
    "mistral": ("Mistral", {"sliding_window": None, "head_dim": 16}),
    "mixtral": ("Mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen2": ("Qwen2", {"tie_word_embeddings": True}),
    "qwen3": ("Qwen3", {"head_dim": 32}),
    "qwen3moe": (
        "Qwen3Moe",
        {
            "head_dim": 16,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 64,
            "norm_topk_prob": True,
        },
    ),
    "gemma2": ("Gemma2", {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 32}),
    "gemma3": (
        "Gemma3Text",
        {
            "head_dim": 32,
            "query_pre_attn_scalar": 32,
            "sliding_window": 32,
            "num_hidden_layers": 7,
        },
    ),
    "gemma4": ("Gemma4Text", _GEMMA4 | {"hidden_size_per_layer_input": 32} | _GEMMA4_SHARED),
    "gemma4 equal": (
        "Gemma4Text",
        _GEMMA4
        | {"hidden_size_per_layer_input": 0, "attention_k_eq_v": True}
        | {"num_global_key_value_heads": 1},
    ),
    "gemma4 moe": (
        "Gemma4Text",
        _GEMMA4
        | {"hidden_size_per_layer_input": 0, "enable_moe_block": True, "num_experts": 5}
        | {"top_k_experts": 2, "moe_intermediate_size": 32},
    ),
    "phi3": ("Phi3", {"sliding_window": None, "original_max_position_embeddings": CONTEXT}),
    "smollm3": ("SmolLM3", {"tie_word_embeddings": True}),
    "bitnet": ("BitNet", {"hidden_act": "silu", "tie_word_embeddings": True}),
    "ernie4_5": ("Ernie4_5", {"head_dim": 16}),
    "olmo2": ("Olmo2", {"num_key_value_heads": 2}),
    "olmo3": ("Olmo3", {"sliding_window": 32, "num_hidden_layers": 5}),
    "granite": (
        "Granite",
        {
            "embedding_multiplier": 6.0,
            "residual_multiplier": 0.3,
            "attention_multiplier": 0.2,
            "logits_scaling": 3.0,
        },
    ),
    "granitemoe": (
        "GraniteMoe",
        {
            "num_local_experts": 5,
            "num_experts_per_tok": 2,
            "residual_multiplier": 0.4,
            "tie_word_embeddings": True,
        },
    ),
    "gpt-oss": (
        "GptOss",
        {
            "head_dim": 16,
            "num_local_experts": 5,
            "num_experts_per_tok": 2,
            "sliding_window": 32,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        },
    ),
    "ernie4_5moe": (
        "Ernie4_5_Moe",
        {
            "moe_num_experts": 5,
            "moe_k": 2,
            "moe_intermediate_size": 64,
            "moe_num_shared_experts": 2,
            "tie_word_embeddings": False,
        },
    ),
    "glm4moe": (
        "Glm4Moe",
        {
            "head_dim": 24,
            "n_routed_experts": 6,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 64,
            "first_k_dense_replace": 2,
            "routed_scaling_factor": 1.5,
            "use_qk_norm": True,
        },
    ),
    "seed_oss": ("SeedOss", {"head_dim": 24}),
    "ministral3": ("Ministral3", {"head_dim": 24, "rope_parameters": MINISTRAL3_ROPE}),
    "qwen35": (
        "Qwen3_5Text",
        DELTA_NET | {"tie_word_embeddings": False},
    ),
    "qwen35moe": ("Qwen3_5MoeText", DELTA_NET | DELTA_EXPERTS),
    "qwen3next": ("Qwen3Next", DELTA_NET | DELTA_EXPERTS),
    "lfm2": (
        "Lfm2",
        {"layer_types": ["conv", "conv", "full_attention", "conv"], "block_multiple_of": 32},
    ),
    "lfm2moe": (
        "Lfm2Moe",
        {"layer_types": ["conv", "conv", "full_attention", "conv"], "num_dense_layers": 2}
        | {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 64},
    ),
    "nemotron_h": (
        "NemotronH",
        {"layers_block_type": ["linear_attention", "mlp", "full_attention", "linear_attention"]}
        | {"mamba_num_heads": 8, "mamba_head_dim": 32, "n_groups": 2, "ssm_state_size": 16}
        | {"head_dim": 32, "time_step_min": 1e-9},
    ),
}


def make_folder(name: str, folder: Path, *, seed: int = 0, tokenizer: str = "bytes") -> Path:
    """Write a random model of a family into `folder`, with a tokenizer, and return the folder."""
    import torch
    import transformers

    kind, changes = FAMILIES[name]
    config_class = getattr(transformers, f"{kind}Config")
    model_class = getattr(transformers, f"{kind.removesuffix('Text')}ForCausalLM")
    config = config_class(**{**_COMMON, **changes})
    torch.manual_seed(seed)
    model = model_class(config).float()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.ndim == 1:
                zero = name.startswith(("gemma2", "gemma3", "qwen35", "qwen3next")) or key.endswith(
                    "bias"
                )
                center = 0.0 if zero and "linear_attn.norm" not in key else 1.0
                parameter.copy_(center + 0.2 * torch.randn_like(parameter))
            else:
                parameter.copy_(torch.randn_like(parameter) * 1.5 / parameter.shape[-1] ** 0.5)
    model.save_pretrained(folder)
    (write_byte_tokenizer if tokenizer == "bytes" else write_piece_tokenizer)(folder)
    return folder


def write_byte_tokenizer(folder: Path) -> None:
    """Write a byte-pair tokenizer: special tokens, 256 bytes, some merges."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    characters = [chr(v if v in printable else next(others)) for v in range(256)]
    tokens = ["<pad>", "<s>", "</s>", "<|im_start|>", *characters]
    pairs = "t h,th e,i n,a n,r e,Ġ the,Ġ a,o n,e r,Ġ in,Ġ t,in g,s t,e n,Ġ an,o r,a t,Ġ s,Ġ o,e s"
    merges = [pair.split(" ") for pair in pairs.split(",")]
    tokens += ["".join(pair) for pair in merges]
    tokens += [f"<|extra_{index}|>" for index in range(VOCABULARY - len(tokens))]
    special = [0, 1, 2, 3, *range(4 + 256 + len(merges), VOCABULARY)]
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    split = {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": False,
        "use_regex": False,
    }
    data = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(index, tokens[index]) for index in special],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {text: index for index, text in enumerate(tokens)},
            "merges": merges,
        },
    }
    _write(folder, data)


def write_piece_tokenizer(folder: Path) -> None:
    """Write a SentencePiece-like tokenizer: special tokens, bytes, letters, merged pieces."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{value:02X}>" for value in range(256))]
    letters = "▁abcdefghijklmnopqrstuvwxyz.,"
    merges = [
        ("t", "h"),
        ("th", "e"),
        ("▁", "the"),
        ("a", "n"),
        ("i", "n"),
        ("▁", "a"),
        ("▁a", "n"),
        ("▁", "an"),  # as converted vocabularies have it: every pair that makes a piece
    ]
    tokens += [*letters, *dict.fromkeys("".join(pair) for pair in merges)]
    tokens += [f"<unused{index}>" for index in range(VOCABULARY - len(tokens))]
    special = [0, 1, 2, *(i for i, text in enumerate(tokens) if text.startswith("<unused"))]
    data = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(index, tokens[index]) for index in special],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {text: index for index, text in enumerate(tokens)},
            "merges": [list(pair) for pair in merges],
        },
    }
    _write(folder, data)


def _added(index: int, text: str) -> dict[str, object]:
    return {
        "id": index,
        "content": text,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


def _write(folder: Path, data: Mapping[str, object]) -> None:
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "add_bos_token": True,
        "chat_template": "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}",
    }
    (folder / "tokenizer.json").write_text(json.dumps(data, ensure_ascii=False), "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
