"""Facts about a folder's tokenizer that are in another file, or another part of one, than most.

Each is used, or refused in a sentence that names it.
"""

import json
from pathlib import Path

import pytest

from support.tokenizer_folders import (
    GPT4O,
    LLAMA3,
    QWEN2,
    ROWS,
    TEKKEN,
    edit,
    ends,
    level,
    split,
    token,
    write_tokenizer,
)
from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.tokenizers.pretokenizers import PRE_TOKENIZERS
from zeropoint.checkpoints.tokenizers.tokenizer_facts import TOKENIZER_KEY
from zeropoint.checkpoints.tokenizers.tokenizer_file import make_tokenizer
from zeropoint.checkpoints.tokenizers.vocabulary_files import read_vocabulary_files
from zeropoint.errors import CheckpointError, UnsupportedModel
from zeropoint.models.tokenizer import read_tokenizer

DEFAULT, NAMES = "tokenizer.chat_template", "tokenizer.chat_templates"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Qwen-like tokenizer without a template; ids 0, 1, 2 are its special tokens."""
    return write_tokenizer("qwen2", tmp_path / "model", [])


def templates(folder: Path) -> dict[str, object]:
    keys = read_vocabulary_files(folder, ROWS)
    found = {key: value for key, value in keys.items() if key.startswith(DEFAULT)}
    return found | ({NAMES: list(found[NAMES])} if NAMES in found else {})


def stops(folder: Path) -> set[int]:
    keys = read_vocabulary_files(folder, ROWS)
    return set(read_tokenizer(Checkpoint(folder, "gguf", [], keys, [])).stops)


def write_templates(folder: Path, files: dict[str, object]) -> None:
    for name, value in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if name == "tokenizer_config.json":
            edit(path, chat_template=value)
        elif name.endswith(".json"):
            path.write_text(json.dumps({"chat_template": value}))
        else:
            path.write_text(str(value))


MORE = "additional_chat_templates"
LISTED = [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]
TEMPLATE_FILES: list[dict[str, object]] = [
    {"chat_template.jinja": "j"},
    {"chat_template.jinja": "a\r\nb\rc\n"},
    {"tokenizer_config.json": "c"},
    {"chat_template.jinja": "j", "tokenizer_config.json": "c", "chat_template.json": "o"},
    {"tokenizer_config.json": "c", "chat_template.json": "o"},
    {"tokenizer_config.json": LISTED},
    {"tokenizer_config.json": {"default": "d", "rag": "r"}},
    {"chat_template.jinja": "j", f"{MORE}/rag.jinja": "r", f"{MORE}/tool_use.jinja": "t"},
    {"chat_template.jinja": "j", f"{MORE}/rag.jinja": "r", "tokenizer_config.json": LISTED},
    {f"{MORE}/rag.jinja": "r", "tokenizer_config.json": "c"},
    {},
]


@pytest.mark.parametrize("files", TEMPLATE_FILES, ids=lambda files: " ".join(files) or "none")
def test_the_chat_templates_are_those_that_transformers_uses(
    files: dict[str, object], folder: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    write_templates(folder, files)
    theirs = transformers.AutoTokenizer.from_pretrained(folder).chat_template
    wanted = theirs if isinstance(theirs, dict) else {"default": theirs} if theirs else {}
    if wanted or "chat_template.json" not in files:
        found = templates(folder)
        named = {name: found[f"{DEFAULT}.{name}"] for name in found.get(NAMES, [])}
        assert named | ({"default": found[DEFAULT]} if DEFAULT in found else {}) == wanted


def test_the_template_of_a_processor_is_used_where_there_is_no_other(folder: Path) -> None:
    write_templates(folder, {"chat_template.json": "o"})
    assert templates(folder) == {DEFAULT: "o"}
    write_templates(folder, {"chat_template.json": LISTED})
    assert templates(folder) == {DEFAULT: "d", f"{DEFAULT}.tool_use": "t", NAMES: ["tool_use"]}


@pytest.mark.parametrize("name", ["tokenizer_config.json", "chat_template.json"])
@pytest.mark.parametrize("value", [3, ["x"], [{"name": "a"}], {"default": 1}, True])
def test_a_template_that_is_none_is_one_sentence(name: str, value: object, folder: Path) -> None:
    write_templates(folder, {name: value})
    with pytest.raises(CheckpointError, match="chat_template"):
        read_vocabulary_files(folder, ROWS)


def test_names_that_would_be_one_key_are_refused(folder: Path) -> None:
    write_templates(folder, {f"{MORE}/a-b.jinja": "1", f"{MORE}/a_b.jinja": "2"})
    with pytest.raises(CheckpointError, match="a_b"):
        read_vocabulary_files(folder, ROWS)


END, START, TURN = ("<|endoftext|>", 0), ("<|im_start|>", 1), ("<|im_end|>", 2)
LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
SURROUND = {"sep": list(END), "cls": list(START)}


@pytest.mark.parametrize(
    ("processor", "first", "last"),
    [
        (None, None, None),
        (LEVEL, None, None),
        (ends([]), None, None),
        (ends([START]), 1, None),
        (ends([], [END]), None, 0),
        (ends([START], [END]), 1, 0),
        ({"type": "Sequence", "processors": [LEVEL, ends([START], [END])]}, 1, 0),
        ({"type": "Sequence", "processors": [ends([START]), LEVEL, ends([], [END])]}, 1, 0),
        ({"type": "RobertaProcessing", **SURROUND}, 1, 0),
        ({"type": "BertProcessing", **SURROUND}, 1, 0),
    ],
)
def test_what_the_post_processor_adds_is_added(
    processor: object, first: int | None, last: int | None, folder: Path
) -> None:
    edit(folder / "tokenizer_config.json", bos_token=END[0], eos_token=TURN[0])
    data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    data["post_processor"] = processor
    (folder / "tokenizer.json").write_text(json.dumps(data), "utf-8")
    keys = read_vocabulary_files(folder, ROWS)
    assert keys["tokenizer.ggml.add_bos_token"] is (first is not None)
    assert bool(keys.get("tokenizer.ggml.add_eos_token")) is (last is not None)
    assert keys["tokenizer.ggml.bos_token_id"] == (0 if first is None else first)
    assert keys["tokenizer.ggml.eos_token_id"] == (2 if last is None else last)
    tokenizer = read_tokenizer(Checkpoint(folder, "gguf", [], keys, []))
    ids = tokenizer.encode("a", ends=True)
    assert ids == [i for i in (first, *tokenizer.encode("a"), last) if i is not None]
    assert {0, 2} <= set(tokenizer.stops)  # the named end, and the one behind texts
    assert tokenizer.vocabulary.special_tokens["eos_token"] == TURN[0]  # what a template sees
    assert tokenizer.vocabulary.special_tokens["bos_token"] == END[0]


@pytest.mark.parametrize("key", ["add_bos_token", "add_eos_token"])
@pytest.mark.parametrize("said", [True, False])
def test_the_settings_count_only_without_a_post_processor(
    key: str, said: bool, folder: Path
) -> None:
    edit(folder / "tokenizer_config.json", **{key: said})
    for processor, wanted in ((LEVEL, False), (ends([START], [END]), True), (None, said)):
        data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
        data["post_processor"] = processor
        (folder / "tokenizer.json").write_text(json.dumps(data), "utf-8")
        assert read_vocabulary_files(folder, ROWS)[f"tokenizer.ggml.{key}"] is wanted


@pytest.mark.parametrize(
    ("processor", "error", "says"),
    [
        (ends([START, TURN]), UnsupportedModel, "2 tokens before"),
        (ends([], [TURN, END]), UnsupportedModel, "2 behind"),
        ({"type": "Magic"}, UnsupportedModel, "Magic"),
        (ends([("<new>", ROWS)]), CheckpointError, str(ROWS)),
        ({"type": "TemplateProcessing"}, CheckpointError, "post_processor"),
        (ends([]) | {"single": []}, CheckpointError, "0 times"),
        (ends([START]) | {"special_tokens": {}}, CheckpointError, "im_start"),
        (ends([]) | {"single": [{"SpecialToken": {"id": ["x"]}}]}, CheckpointError, "no ids"),
        ({"type": "RobertaProcessing", "sep": ["</s>"], "cls": 3}, CheckpointError, "pair"),
        ({"type": "Sequence"}, CheckpointError, "post_processor"),
        (7, CheckpointError, "post_processor"),
    ],
)
def test_a_post_processor_that_gguf_cannot_express_is_refused(
    processor: object, error: type[Exception], says: str, folder: Path
) -> None:
    edit(folder / "tokenizer.json", post_processor=processor)
    with pytest.raises(error, match=says):
        read_vocabulary_files(folder, ROWS)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
@pytest.mark.parametrize("ids", [5, [5], [2, 5, 6], [9, 8, 7, 6, 5], [5, -1, ROWS]])
def test_every_end_of_both_files_ends_a_generation(name: str, ids: object, folder: Path) -> None:
    edit(folder / name, eos_token_id=ids)
    listed = {i for i in (ids if isinstance(ids, list) else [ids]) if 0 <= i < ROWS}
    assert stops(folder) == {0, 2} | listed  # and those known by their text
    keys = read_vocabulary_files(folder, ROWS)
    data, settings = make_tokenizer(keys)
    assert settings["eos_token"] == TURN[0] and data["model"]


def test_ends_go_to_the_keys_that_llama_cpp_reads_first(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    edit(folder / "generation_config.json", eos_token_id=[2, 10, 11])
    keys = read_vocabulary_files(folder, ROWS)
    found = [keys[f"tokenizer.ggml.{name}_token_id"] for name in ("eos", "eot", "eom")]
    assert found == [2, 10, 11] and not caplog.text
    assert json.loads(str(keys[TOKENIZER_KEY])) == {"normalizer": "NFC"}
    edit(folder / "generation_config.json", eos_token_id=[2, 10, 11, 12])
    keys = read_vocabulary_files(folder, ROWS)
    assert json.loads(str(keys[TOKENIZER_KEY])) == {"stops": [12], "normalizer": "NFC"}
    assert "more than three end tokens" in caplog.text


def test_the_end_of_a_text_model_inside_of_another_counts(folder: Path) -> None:
    edit(folder / "config.json", text_config={"eos_token_id": [7]})
    assert 7 in stops(folder)


@pytest.mark.parametrize("value", ["x", [1, "x"], 1.5, {"a": 1}])
def test_an_end_that_is_no_id_is_one_sentence(value: object, folder: Path) -> None:
    edit(folder / "generation_config.json", eos_token_id=value)
    with pytest.raises(CheckpointError, match="eos_token_id"):
        read_vocabulary_files(folder, ROWS)


def test_special_tokens_of_an_older_file_count(folder: Path) -> None:
    edit(folder / "tokenizer_config.json", eos_token=None)
    edit(folder / "special_tokens_map.json", eos_token={"content": START[0], "lstrip": False})
    assert read_vocabulary_files(folder, ROWS)["tokenizer.ggml.eos_token_id"] == 1


def test_added_tokens_of_the_other_file_count(folder: Path) -> None:
    more = {"700": token(700, "<extra>"), "0": token(0, "<ignored>")}
    edit(folder / "tokenizer_config.json", added_tokens_decoder=more)
    keys = read_vocabulary_files(folder, ROWS)
    assert keys["tokenizer.ggml.tokens"][700] == "<extra>"
    assert keys["tokenizer.ggml.tokens"][0] == END[0]


def test_added_tokens_of_an_older_file_count(folder: Path) -> None:
    edit(folder / "added_tokens.json", **{"<extra>": 700, END[0]: 0})
    keys = read_vocabulary_files(folder, ROWS)
    assert keys["tokenizer.ggml.tokens"][700] == "<extra>"
    assert keys["tokenizer.ggml.token_type"][700] == 4
    edit(folder / "added_tokens.json", **{"<extra>": "700"})
    with pytest.raises(CheckpointError, match=r"added_tokens\.json"):
        read_vocabulary_files(folder, ROWS)


def test_tokens_without_a_row_are_named_and_padding_is_unused(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    beyond = [token(ROWS + i, f"<new{i}>") for i in range(5)]
    edit(folder / "tokenizer.json", added_tokens=data["added_tokens"] + beyond)
    keys = read_vocabulary_files(folder, ROWS)
    assert "<new0>, <new1>, <new2> and 2 more" in caplog.text and str(ROWS) in caplog.text
    assert len(keys["tokenizer.ggml.tokens"]) == ROWS
    assert keys["tokenizer.ggml.token_type"][-1] == 5


# How tokenizer.json spells what GGUF has a name for.
@pytest.mark.parametrize(
    ("steps", "whole_words", "name"),
    [
        ([split(LLAMA3), level()], True, "llama3"),
        ([split(LLAMA3), level()], False, "dbrx"),
        ([split(LLAMA3, "Removed", invert=True), level()], False, "dbrx"),
        ([split(LLAMA3, "Isolated", invert=True), level()], False, "dbrx"),
        ([split(QWEN2), level()], False, "qwen2"),
        ([split(TEKKEN), level()], True, "tekken"),
        ([split(TEKKEN), level()], False, "tekken"),
        ([split(TEKKEN, "Removed", invert=True), level()], True, "tekken"),
        ([split(GPT4O), level()], False, "gpt-4o"),
        ([split(GPT4O, "Removed", invert=True), level()], False, "gpt-4o"),
        ([split(GPT4O), level()], True, "gpt-4o"),
        ([level(regex=True)], False, "gpt-2"),
        ([split(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"),
          level()], False, "gpt-2"),
        ([{"type": "Digits", "individual_digits": True}, level(regex=True)], False, "smollm"),
        ([split(QWEN2.replace(r"\p{N}|", r"\p{N}{1}|").replace(r"]+[\r\n]*", r"\r\n]+")), level()],
         False, "seed-coder"),
    ],
)  # fmt: skip
def test_a_way_of_cutting_text_has_its_name_however_it_is_spelled(
    steps: list[object], whole_words: bool, name: str, folder: Path
) -> None:
    data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    data["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
    data["model"]["ignore_merges"] = whole_words
    edit(folder / "tokenizer.json", **data)
    assert read_vocabulary_files(folder, ROWS)["tokenizer.ggml.pre"] == name


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_every_name_of_the_table_is_found_by_its_patterns(name: str, folder: Path) -> None:
    known = PRE_TOKENIZERS[name]
    data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    steps = [split(pattern) for pattern in known.patterns]
    data["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [*steps, level()]}
    data["model"]["ignore_merges"] = known.whole_words
    edit(folder / "tokenizer.json", **data)
    found = str(read_vocabulary_files(folder, ROWS)["tokenizer.ggml.pre"])
    assert PRE_TOKENIZERS[found].patterns == known.patterns
    assert PRE_TOKENIZERS[found].whole_words == known.whole_words


REFUSED: list[tuple[str, dict[str, object], str]] = [
    ("qwen2", {"normalizer": {"type": "Lowercase"}}, "Lowercase"),
    ("qwen2", {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}]}}, "NFKC"),
    ("qwen2", {"pre_tokenizer": None}, "pre_tokenizer"),
    ("qwen2", {"pre_tokenizer": level(regex=True) | {"add_prefix_space": True}}, "add_prefix"),
    ("qwen2", {"pre_tokenizer": split(QWEN2, "Removed")}, "Removed"),
    ("qwen2", {"pre_tokenizer": split("a+", "Removed", invert=True)}, "Removed"),
    ("qwen2", {"pre_tokenizer": split(QWEN2, "MergedWithNext")}, "MergedWithNext"),
    ("qwen2", {"pre_tokenizer": split(QWEN2 + "|x")}, "patterns"),
    ("qwen2", {"pre_tokenizer": {"type": "Whitespace"}}, "Whitespace"),
    ("qwen2", {"model.dropout": 0.1}, "dropout"),
    ("qwen2", {"model.end_of_word_suffix": "</w>"}, "end_of_word_suffix"),
    ("qwen2", {"model.continuing_subword_prefix": "##"}, "continuing_subword_prefix"),
    ("qwen2", {"model.type": "WordPiece"}, "WordPiece"),
    ("qwen2", {"model.type": "Unigram"}, "Unigram"),
    ("llama2", {"normalizer": {"type": "NFKC"}}, "NFKC"),
    ("llama2", {"normalizer": {"type": "Prepend", "prepend": "x"}}, "Prepend"),
    ("llama2", {"normalizer": None}, "spaces"),
    ("llama2", {"pre_tokenizer": {"type": "Punctuation"}}, "Punctuation"),
    ("llama2", {"model.ignore_merges": True}, "ignore_merges"),
    ("llama2", {"model.dropout": 0.1}, "dropout"),
]


@pytest.mark.parametrize(("family", "changes", "says"), REFUSED)
def test_a_setting_that_gguf_cannot_express_is_refused_by_name(
    family: str, changes: dict[str, object], says: str, tmp_path: Path
) -> None:
    folder = write_tokenizer(family, tmp_path, [])
    data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    for key, value in changes.items():
        place = data["model"] if key.startswith("model.") else data
        place[key.removeprefix("model.")] = value
    (folder / "tokenizer.json").write_text(json.dumps(data), "utf-8")
    with pytest.raises(UnsupportedModel, match=says):
        read_vocabulary_files(folder, ROWS)


def test_taking_words_whole_is_refused_where_it_matters(folder: Path) -> None:
    """A token that merging does not make: with and without `ignore_merges` the ids differ."""
    data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    data["model"]["vocab"]["zqx"] = len(data["model"]["vocab"])
    data["pre_tokenizer"]["pretokenizers"][0] = split(TEKKEN)
    (folder / "tokenizer.json").write_text(json.dumps(data), "utf-8")
    with pytest.raises(UnsupportedModel, match="zqx"):
        read_vocabulary_files(folder, ROWS)
    data["model"]["ignore_merges"] = True
    (folder / "tokenizer.json").write_text(json.dumps(data), "utf-8")
    assert read_vocabulary_files(folder, ROWS)["tokenizer.ggml.pre"] == "tekken"


@pytest.mark.parametrize("name", ["tokenizer.model", "vocab.json", "tekken.json"])
def test_a_folder_without_a_tokenizer_json_says_what_would_work(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(CheckpointError, match=f"{name} alone is not read") as caught:
        read_vocabulary_files(tmp_path, ROWS)
    assert "save_pretrained" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "3", '{"stops": [1.5]}', '{"stops": [99999]}', '{"lstrip": "x"}',
             '{"special_tokens": {"a": 1}}', '{"space_prefix": "never"}', '{"stops": 3}'],
)  # fmt: skip
def test_our_own_key_is_not_trusted(text: str, folder: Path) -> None:
    keys = read_vocabulary_files(folder, ROWS) | {TOKENIZER_KEY: text}
    with pytest.raises(CheckpointError, match=r"zeropoint\.tokenizer"):
        read_tokenizer(Checkpoint(folder, "gguf", [], keys, []))
