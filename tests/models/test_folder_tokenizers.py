"""The tokenizers of folders beside transformers': the same ids and texts, family by family.

Each is read from the folder, and again from a GGUF file that has its keys.
"""

import json
import unicodedata
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from support.tokenizer_folders import FAMILIES, PIECE_FAMILIES, ROWS, edit, token, write_tokenizer
from support.vocabularies import AWKWARD
from zeropoint.checkpoints import Checkpoint, NewTensor, create_checkpoint, open_checkpoint
from zeropoint.checkpoints.tokenizers.tokenizer_facts import TOKENIZER_KEY
from zeropoint.checkpoints.tokenizers.vocabulary_files import read_vocabulary_files
from zeropoint.formats import FORMATS
from zeropoint.models.tokenizer import Tokenizer, read_tokenizer

transformers = pytest.importorskip("transformers")

MORE = [
    "a  b", *(" " * count + "word" for count in (1, 2, 3, 5, 15, 16, 17, 40)), "x" + " " * 33,
    "\n\nline\n \n  \n\tindented\r\n\r\nend\n", "trailing   ", "\ttab\t\ttab", " leading", "▁",
    "a▁▁b",    "👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈🇩🇪", "नमस्ते दुनिया", "สวัสดีชาวโลก", "𠀋𠮷野家", "①②③ ⅷ ½ ٣٤٥ 一二三",
    "3.14159 1,000,000 0x1F 1e-5 007", "İSTANBUL ǅungla straße ΣΊΣΥΦΟΣ", "ПрИвЕт МИР", "ÄrgerÜber",
    "HTTPServerError getHTTPResponse iPhone", "don't I'LL we'Ve it'S o'clock 'tis", "'s 's\n's",
    "https://example.org/a/b?c=d&e=%20#f", "{{ [[<<(())>>]] }}", "----====____****", "\x00\x01\x02",
    "e\u0301a\u0308o\u0302", "\u200b\u200c\u200d\ufeff\u00ad", "\u3000全角\u3000スペース",
    "a\u00a0b\u2003c", "ﬁ ﬂ Å Ω K", "\U0010ffff\ue000", "<0x0A> <unk> </s> <s>",
    "Ġ Ċ Ģ", "re re 'RE ''' \"\"\"",
]  # fmt: skip
TEXTS = [*AWKWARD, *MORE]
CASED = ("tekken", "phi4-mini")
PLAIN_NAMES = {"phi3": "Phi-3-mini"}


@cache
def _theirs(folder: Path, *, split: bool) -> object:
    return transformers.AutoTokenizer.from_pretrained(folder, split_special_tokens=split)


def read_folder(folder: Path, name: str = "") -> Tokenizer:
    """Read a folder's tokenizer as a model's folder is read."""
    keys = read_vocabulary_files(folder, ROWS, name=name)
    return read_tokenizer(Checkpoint(folder, "gguf", [], keys | {"general.name": name}, []))


def convert(folder: Path, name: str = "") -> Tokenizer:
    """Read it again from a GGUF file with its keys."""
    keys = read_vocabulary_files(folder, ROWS, name=name)
    keys |= {"general.architecture": "none", "general.name": name}
    path = folder / "vocabulary.gguf"
    with create_checkpoint(path, [NewTensor("x", (1,), FORMATS["F32"])], keys) as writer:
        writer.write("x", np.zeros(4, np.uint8))
    return read_tokenizer(open_checkpoint(path))


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one family; its name is the family's."""
    folder = tmp_path_factory.mktemp("tokenizers") / str(request.param)
    return write_tokenizer(str(request.param), folder, TEXTS)


def both(folder: Path) -> list[Tokenizer]:
    name = PLAIN_NAMES.get(folder.name, folder.name)
    return [read_folder(folder, name), convert(folder, name)]


def comparable(family: str) -> list[str]:
    """The texts whose ids GGUF can say: of Gemma not U+2581, and not runs of more spaces than the
    longest token has, which llama.cpp cuts from the left and merging does not.
    """
    if family != "gemma":
        return TEXTS
    return [text for text in TEXTS if "▁" not in text and " " * 17 not in text]


def beyond_the_pattern(char: str) -> bool:
    """Whether llama.cpp's form of a cased pattern may treat a character in another way."""
    kind = unicodedata.category(char)
    return kind[0] == "M" or (ord(char) > 127 and kind in ("Lu", "Lt", "Ll"))


def test_plain_text_has_the_ids_of_transformers(family: Path) -> None:
    theirs = _theirs(family, split=True)
    for tokenizer in both(family):
        for text in comparable(family.name):
            wanted = theirs.encode(text, add_special_tokens=False)
            assert tokenizer.encode(text) == wanted, text


def test_chat_text_has_the_ids_of_transformers(family: Path) -> None:
    """Special tokens with words and white space around them."""
    theirs = _theirs(family, split=False)
    special = [t for t in theirs.all_special_tokens if t != "<unk>"]
    special += [t.content for t in theirs.added_tokens_decoder.values() if "<unk>" not in t.content]
    around = [
        "{}",
        " {} ",
        "\n{}\n\n",
        "a{}b",
        "a {} b",
        "{}{}",
        "\t{}\r\nx",
        "{} {}\n{}",
        "x\n\n{}",
    ]
    if "▁▁" in special:  # Gemma's runs of spaces: found in the text as it is, so not as "▁"
        special = [text for text in special if "▁" not in text]
    for tokenizer in both(family):
        for text in dict.fromkeys(special):
            for frame in around:
                chat = frame.replace("{}", text)
                wanted = theirs.encode(chat, add_special_tokens=False)
                assert tokenizer.encode(chat, special=True) == wanted, chat


def test_texts_begin_and_end_as_the_folder_says(family: Path) -> None:
    theirs = _theirs(family, split=True)
    for tokenizer in both(family):
        for text in ("hello world", "a", ""):
            assert tokenizer.encode(text, ends=True) == theirs.encode(text), text


def test_ids_have_the_text_of_transformers(family: Path) -> None:
    theirs = _theirs(family, split=True)
    for tokenizer in both(family):
        for text in comparable(family.name):
            ids = tokenizer.encode(text)
            wanted = theirs.decode(
                ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
            assert tokenizer.decode(ids) == wanted, text


def test_the_special_tokens_of_templates_are_those_of_transformers(family: Path) -> None:
    theirs = _theirs(family, split=True)
    for tokenizer in both(family):
        assert dict(tokenizer.vocabulary.special_tokens) == theirs.special_tokens_map


def test_every_family_trains_what_it_should(family: Path) -> None:
    """A control: the vocabulary has merges, so that cutting text elsewhere gives other ids."""
    theirs = _theirs(family, split=True)
    longer = [text for text in TEXTS if len(theirs.encode(text)) < len(text.encode()) // 2]
    assert len(longer) > 10
    kinds = set(both(family)[0].vocabulary.kinds.tolist())
    assert (4 in kinds) == (family.name in ("gemma", "gemma4"))
    assert (6 in kinds) == (family.name in PIECE_FAMILIES)


@pytest.mark.parametrize("family", ["qwen2", "llama2"])
def test_tokens_take_white_space_and_stand_alone_as_the_folder_says(
    family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Attributes of added tokens, which GGUF has no key for: kept in ours, with a warning."""
    folder = write_tokenizer(family, tmp_path, TEXTS)
    path = folder / "tokenizer.json"
    data = json.loads(path.read_text("utf-8"))
    first = len(data["model"]["vocab"])
    kinds = {
        "<left>": {"lstrip": True},
        "<right>": {"rstrip": True},
        "zqword": {"single_word": True},
    }
    kinds |= {"<all>": {"lstrip": True, "rstrip": True, "single_word": True}}
    for index, (text, flags) in enumerate(kinds.items()):
        data["added_tokens"].append(token(first + index, text, special=index != 1, **flags))
    path.write_text(json.dumps(data), "utf-8")
    theirs = _theirs(folder, split=False)
    frames = [
        "a {} b",
        "a\n\n{}\t\tb",
        "{}{}",
        " {}  {} ",
        "a{}b",
        "({})",
        "\u3000{}\u3000x",
        "_{}",
    ]
    for tokenizer in (read_folder(folder), convert(folder)):
        for text in kinds:
            for frame in frames:
                chat = frame.replace("{}", text)
                wanted = theirs.encode(chat, add_special_tokens=False)
                assert tokenizer.encode(chat, special=True) == wanted, chat
    assert "llama.cpp will not" in caplog.text and "<left>" in caplog.text


def test_a_token_that_looks_special_is_never_made_of_plain_text(tmp_path: Path) -> None:
    """As gguf-py writes such tokens; transformers makes them of any text."""
    folder = write_tokenizer("qwen2", tmp_path, TEXTS)
    data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    first = len(data["model"]["vocab"])
    texts = ["<|fim_hole|>", "<tool_call>", "<unused3>", "<pad>"]
    added = [token(first + i, text, special=False) for i, text in enumerate(texts)]
    edit(folder / "tokenizer.json", added_tokens=data["added_tokens"] + added)
    for tokenizer in (read_folder(folder), convert(folder)):
        plain = {text: tokenizer.encode(text) == [first + i] for i, text in enumerate(texts)}
        assert plain == {t: t == "<tool_call>" for t in texts}
        for index, text in enumerate(texts):
            assert tokenizer.encode(text, special=True) == [first + index]


@pytest.mark.parametrize("family", CASED)
def test_without_our_key_a_cased_pattern_is_that_of_llama_cpp(
    family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """llama.cpp splits only words with combining marks or non-ASCII letter case differently."""
    folder = write_tokenizer(family, tmp_path, TEXTS)
    keys = read_vocabulary_files(folder, ROWS)
    assert "other scripts" in caplog.text
    authors = read_tokenizer(Checkpoint(folder, "gguf", [], keys, []))
    assert authors.vocabulary.pre == {"tekken": "tekken", "phi4-mini": "gpt-4o"}[family]
    del keys[TOKENIZER_KEY]
    plain = read_tokenizer(Checkpoint(folder, "gguf", [], keys, []))
    different = [text for text in TEXTS if authors.encode(text) != plain.encode(text)]
    assert 2 < len(different) <= 8
    assert all(any(map(beyond_the_pattern, text)) for text in different)
