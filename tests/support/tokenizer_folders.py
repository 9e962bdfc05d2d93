"""Tiny tokenizers as the folders of published families hold them: trained on awkward text.

    folder = write_tokenizer("qwen2", tmp_path)           # tokenizer.json, tokenizer_config.json
    vocabulary = read_vocabulary_files(folder, ROWS)

The way in which text is normalized, cut and ended is that of the named family; the vocabulary has
some hundred tokens.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

ROWS = 1024
SPACE = "▁"
_CASES = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_BEFORE = r"[^\r\n\p{L}\p{N}]?"
_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_PATH_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = _CASES + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + _TAIL
QWEN2 = _CASES + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + _TAIL
TEKKEN = f"{_BEFORE}{_UPPER}*{_LOWER}+|{_BEFORE}{_UPPER}+{_LOWER}*|" + r"\p{N}" + _PATH_TAIL
GPT4O = (
    f"{_BEFORE}{_UPPER}*{_LOWER}+{_CASES}?|{_BEFORE}{_UPPER}+{_LOWER}*{_CASES}?|"
    + r"\p{N}{1,3}"
    + _PATH_TAIL
)
PROSE = [
    "The quick brown fox doesn't jump over 12345 lazy dogs; it's 3.14159 o'clock, they'll say.",
    "def encode(self, text):\n    return [self.ids[word] for word in text.split(' ')]\n",
    "HTTPServerError: can't open C:\\Users\\me\\file.txt (errno 13)\r\n\r\n\tretry in 10  s",
    "Привет, мир! Это просто текст. 日本語の文章です。한국어 문장입니다. مرحبا بالعالم",
    "        for index in range(10):\n            if index % 2 == 0:\n                print(index)",
]

Json = dict[str, object]


def token(index: int, content: str, *, special: bool = True, **flags: bool) -> Json:
    """Return an entry of `added_tokens`."""
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": index, "content": content, "special": special, **plain, **flags}


def ends(before: Sequence[tuple[str, int]], behind: Sequence[tuple[str, int]] = ()) -> Json:
    """Return a post-processor that puts these tokens (text, id) around a text."""
    named = {text: {"id": text, "ids": [i], "tokens": [text]} for text, i in (*before, *behind)}

    def pieces(pairs: Sequence[tuple[str, int]]) -> list[Json]:
        return [{"SpecialToken": {"id": text, "type_id": 0}} for text, _ in pairs]

    single = [*pieces(before), {"Sequence": {"id": "A", "type_id": 0}}, *pieces(behind)]
    pair = [*single, {"Sequence": {"id": "B", "type_id": 1}}]
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": named}


def split(pattern: str, behavior: str = "Isolated", *, invert: bool = False) -> Json:
    """Return a pre-tokenizer that cuts by a regular expression."""
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def level(*, regex: bool = False) -> Json:
    """Return the pre-tokenizer that writes bytes as printable characters."""
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": regex,
    }


_LLAMA3_TOKENS = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|start_header_id|>"]
_LEVEL_ONLY = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False,
               "use_regex": True}  # fmt: skip

# Special tokens, steps before merging, and what differs in tokenizer.json.
BYTE_FAMILIES: Mapping[str, tuple[list[str], list[Json], Json]] = {
    "llama3": (
        _LLAMA3_TOKENS,
        [split(LLAMA3), level()],
        {
            "ignore_merges": True,
            "post_processor": {
                "type": "Sequence",
                "processors": [_LEVEL_ONLY, ends([("<|begin_of_text|>", 0)])],
            },
        },
    ),
    "bitnet": (
        _LLAMA3_TOKENS,
        [split(LLAMA3), level()],
        {"ignore_merges": True, "post_processor": ends([("<|begin_of_text|>", 0)])},
    ),
    "smollm3": (
        ["<|begin_of_text|>", "<|im_start|>", "<|im_end|>"],
        [split(LLAMA3), level()],
        {},
    ),
    "tekken": (
        ["<s>", "</s>", "[INST]", "[/INST]"],
        [split(TEKKEN), level()],
        {"ignore_merges": True, "post_processor": ends([("<s>", 0)])},
    ),
    "qwen2": (
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        [split(QWEN2), level()],
        {"normalizer": {"type": "NFC"}, "post_processor": level()},
    ),
    "qwen3-embedding": (
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        [split(QWEN2), level()],
        {"normalizer": {"type": "NFC"}, "post_processor": ends([], [("<|endoftext|>", 0)])},
    ),
    "phi4-mini": (
        ["<|endoftext|>", "<|user|>", "<|end|>", "<|assistant|>"],
        [split(GPT4O, "Removed", invert=True), level()],
        {},
    ),
    "smollm": (
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        [{"type": "Digits", "individual_digits": True}, level(regex=True)],
        {},
    ),
    "roberta": (
        ["<s>", "</s>", "<mask>"],
        [level(regex=True)],
        {
            "post_processor": {
                "type": "RobertaProcessing",
                "sep": ["</s>", 1],
                "cls": ["<s>", 0],
                "trim_offsets": True,
                "add_prefix_space": False,
            }
        },
    ),
}

_REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
_PREPEND = {"type": "Prepend", "prepend": SPACE}
_STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
PIECE_FAMILIES: Mapping[str, tuple[list[str], Json]] = {
    "llama2": (
        [],
        {
            "normalizer": {"type": "Sequence", "normalizers": [_PREPEND, _REPLACE]},
            "post_processor": ends([("<s>", 1)]),
        },
    ),
    "mistral": (
        ["[INST]", "[/INST]"],
        {
            "pre_tokenizer": {
                "type": "Metaspace",
                "replacement": SPACE,
                "prepend_scheme": "first",
                "split": False,
            },
            "post_processor": ends([("<s>", 1)]),
        },
    ),
    "yi": (
        ["<|im_start|>"],
        {
            "pre_tokenizer": {
                "type": "Metaspace",
                "replacement": SPACE,
                "prepend_scheme": "always",
                "split": False,
            },
        },
    ),
    "gemma": (
        ["<start_of_turn>", "<end_of_turn>"],
        {
            "normalizer": _REPLACE,
            "pre_tokenizer": {
                "type": "Split",
                "pattern": {"String": " "},
                "behavior": "MergedWithPrevious",
                "invert": False,
            },
            "post_processor": ends([("<s>", 1)]),
        },
    ),
    "gemma4": (
        ["<|turn>", "<turn|>", "<|tool_call>", "<tool_call|>", "<|tool_response>"],
        {
            "normalizer": _REPLACE,
            "pre_tokenizer": {
                "type": "Split",
                "pattern": {"String": " "},
                "behavior": "MergedWithPrevious",
                "invert": False,
            },
            "post_processor": ends([("<s>", 1)]),
        },
    ),
    "phi3": (
        ["<|endoftext|>", "<|assistant|>", "<|user|>", "<|end|>"],
        {
            "normalizer": {"type": "Sequence", "normalizers": [_PREPEND, _REPLACE]},
            "post_processor": ends([("<s>", 1)]),
        },
    ),
}
FAMILIES = (*BYTE_FAMILIES, *PIECE_FAMILIES)


def write_tokenizer(family: str, folder: Path, texts: Sequence[str], **changes: object) -> Path:
    """Write the tokenizer files of a family, trained on `texts`; return the folder.

    `changes` replaces top-level fields of tokenizer.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = _byte_tokenizer if family in BYTE_FAMILIES else _piece_tokenizer
    data, settings = made(family, [*PROSE, *texts])
    (folder / "tokenizer.json").write_text(json.dumps(data | changes, ensure_ascii=False), "utf-8")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text("{}")
    return folder


def edit(path: Path, **changes: object) -> None:
    """Replace top-level fields of a JSON file; None removes one."""
    data = (json.loads(path.read_text("utf-8")) if path.exists() else {}) | changes
    path.write_text(json.dumps({key: v for key, v in data.items() if v is not None}), "utf-8")


def _byte_tokenizer(family: str, texts: Sequence[str]) -> tuple[Json, Json]:
    special, steps, more = BYTE_FAMILIES[family]
    more = dict(more)
    ignore = bool(more.pop("ignore_merges", False))
    made = Tokenizer(models.BPE(ignore_merges=ignore))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    shape = json.loads(made.to_str()) | {
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "decoder": level(),
        "normalizer": more.get("normalizer"),
    }
    made = Tokenizer.from_str(json.dumps(shape))
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        min_frequency=2,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([text for text in texts for _ in range(2)], trainer)
    data = json.loads(made.to_str()) | more
    data["added_tokens"] = [token(i, text) for i, text in enumerate(special)]
    last = special[1] if family != "qwen2" else special[2]
    return data, {"bos_token": special[0], "eos_token": last, "pad_token": special[0]}


def _piece_tokenizer(family: str, texts: Sequence[str]) -> tuple[Json, Json]:
    special, more = PIECE_FAMILIES[family]
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", SPACE)
    spaces = pre_tokenizers.Metaspace(prepend_scheme="never")
    lines = pre_tokenizers.Split(Regex(r"\n+"), "isolated")
    steps = [lines, spaces] if family == "gemma4" else [spaces]
    trained.pre_tokenizer = pre_tokenizers.Sequence(steps)
    trainer = trainers.BpeTrainer(vocab_size=500, min_frequency=2, show_progress=False)
    trained.train_from_iterator([text for text in texts for _ in range(2)], trainer)
    words = sorted(trained.get_vocab(), key=trained.get_vocab().__getitem__)
    runs = [SPACE * count for count in range(2, 17)]
    end = "<eos>" if family == "gemma4" else "</s>"  # whose vocabulary has "</s>" as text
    head = ["<unk>", "<s>", end, *(f"<0x{byte:02X}>" for byte in range(256))]
    gemma = family in ("gemma", "gemma4")
    pieces = list(dict.fromkeys([*runs, *words])) if gemma else words
    tokens = [*head, *pieces, *special]
    data = json.loads(Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True)).to_str()) | more
    data["model"] |= {
        "fuse_unk": True,
        "vocab": {text: index for index, text in enumerate(tokens)},
        "merges": _all_merges(pieces),
    }
    data["added_tokens"] = [token(index, head[index]) for index in range(3)]
    taking = {"<|assistant|>", "<|user|>", "<|end|>"}
    for text in special:
        data["added_tokens"].append(token(tokens.index(text), text, rstrip=text in taking))
    if family == "phi3":
        data["added_tokens"][2]["rstrip"] = True
    if family == "gemma":
        data["added_tokens"] += [token(tokens.index(run), run, special=False) for run in runs]
    decoders: list[Json] = [{"type": "Replace", "pattern": {"String": SPACE}, "content": " "}]
    decoders += [{"type": "ByteFallback"}, {"type": "Fuse"}]
    data["decoder"] = {
        "type": "Sequence",
        "decoders": decoders if gemma else [*decoders, _STRIP],
    }
    names: Json = {"bos_token": "<s>", "eos_token": end, "unk_token": "<unk>"}
    return data, names


def _all_merges(pieces: Sequence[str]) -> list[list[str]]:
    """Return every pair of pieces that makes a piece, in the order of what they make."""
    known = set(pieces)
    return [
        [piece[:cut], piece[cut:]]
        for piece in pieces
        for cut in range(1, len(piece))
        if piece[:cut] in known and piece[cut:] in known
    ]
