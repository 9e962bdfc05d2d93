"""Chat templates: rendered as transformers renders them, and powerless."""

from pathlib import Path

import numpy as np
import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from support.vocabularies import CONTROL, NORMAL, byte_characters, byte_pairs, checkpoint_with
from zeropoint.errors import UnsupportedModel
from zeropoint.models import chat, read_tokenizer

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "1 < 2 & é?"},
    {"role": "assistant", "content": " yes "},
    {"role": "user", "content": "sure?"},
]
VARIABLES = {
    "messages": MESSAGES,
    "add_generation_prompt": True,
    "bos_token": "<s>",
    "eos_token": "</s>",
}
# The constructs that templates of real models use.
TEMPLATES = [
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' }}\n{{ m.content | trim }}{% endfor %}",
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set s = messages[0]['content'] %}"
    "{% set messages = messages[1:] %}{% else %}{% set s = '' %}{% endif %}[{{ s }}]"
    "{{ messages | length }}",
    "{%- set ns = namespace(last='') -%}\n{%- for m in messages %}\n{%- set ns.last = m.role %}\n"
    "{%- endfor -%}\n{{ ns.last }}",
    "{% for m in messages %}{% if loop.index0 == 2 %}{% break %}{% endif %}{{ loop.first }} "
    "{{ loop.index }}/{{ loop.length }}\n{% endfor %}",
    "{{ messages | tojson }}\n{{ messages[0] | tojson(indent=2) }}",
    "{% macro say(m) %}<{{ m['content'].split(' ')[0].upper() }}>{% endmacro %}"
    "{{ say(messages[0]) }}",
    "{% for m in messages %}{% generation %}{{ m['content'] }}{% endgeneration %}{% endfor %}",
    "{% for k, v in messages[0].items() %}{{ k }}={{ v }};{% endfor %}"
    "{{ messages[0].get('x', 'none') }}",
    "{% if tools is defined and tools %}tools{% endif %}"
    "{{ messages | map(attribute='role') | join(',') }}",
    "{% if not add_generation_prompt is defined %}no{% endif %}{{ 'a b'.startswith('a') }}\n\n"
    "  {% if 1 %}\n x\n  {% endif %}",
]


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_give_what_transformers_gives(template: str) -> None:
    tokens = {"bos_token": "<s>", "eos_token": "</s>"}
    (wanted,), _ = render_jinja_template(
        [MESSAGES], chat_template=template, add_generation_prompt=True, **tokens
    )
    assert chat.render(template, VARIABLES) == wanted


ATTACKS = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ lipsum.__globals__ }}",
    "{{ self.__init__.__globals__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ raise_exception.__globals__ }}",
    "{{ ('{0.__class__}').format(messages) }}",
    "{{ messages[0] | attr('__class__') }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os }}",
    "{{ messages.append(1) }}{{ messages[0].update(x=1) }}",
    "{% for i in range(10**9) %}x{% endfor %}",
    "{{ 'a' * 10**10 }}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{{ raise_exception('no') }}",
    "{{ 1 / 0 }}",
    "{% if %}",
    "{{ messages",
]


@pytest.mark.parametrize("template", ATTACKS)
def test_a_template_reaches_nothing_and_costs_little(
    template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "CPU_SECONDS", 1)
    try:
        text = chat.render(template, VARIABLES, source="evil.gguf")
    except UnsupportedModel as error:
        assert str(error).startswith("evil.gguf: its chat template cannot be rendered: ")
        assert "\n" not in str(error)
    else:  # an attribute that is not there is nothing
        assert "class" not in text and "module" not in text and "root" not in text


def test_chat_text_is_parsed_and_begins_as_the_file_says(tmp_path: Path) -> None:
    keys = {"chat_template": "<|a|>{{ messages[0].content }}", "add_bos_token": True}
    tokenizer = byte_pairs(tmp_path / "v.gguf", [], **keys)
    checkpoint = checkpoint_with(tmp_path / "c.gguf", **keys)
    said = [{"role": "user", "content": "hi"}]
    control = tokenizer.vocabulary.ids["<|a|>"]  # which is BOS here too, and not doubled
    assert chat.encode_chat(checkpoint, tokenizer, said) == [control, *b"hi"]


def test_without_a_template_the_control_tokens_say_how(tmp_path: Path) -> None:
    plain = checkpoint_with(tmp_path / "p.gguf", model="gpt2")
    said = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    with pytest.raises(UnsupportedModel, match="--no-chat"):
        chat.encode_chat(plain, byte_pairs(tmp_path / "v.gguf", []), said)
    tokens = [*byte_characters(), "<|im_start|>", "<|im_end|>"]
    marked = checkpoint_with(
        tmp_path / "m.gguf",
        model="gpt2",
        pre="gpt-2",
        tokens=tokens,
        merges=["a b"],
        token_type=np.array([NORMAL] * 256 + [CONTROL] * 2, np.int32),
    )
    tokenizer = read_tokenizer(marked)
    text = "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode(chat.encode_chat(marked, tokenizer, said), special=True) == text


def test_a_control_token_in_a_message_is_ordinary_text(tmp_path: Path) -> None:
    keys = {
        "chat_template": "{% for m in messages %}<|a|>{{ m.content | trim }}{% endfor %}"
        "{{ tools | tojson if tools }}"
    }
    tokenizer = byte_pairs(tmp_path / "v.gguf", [], **keys)
    checkpoint = checkpoint_with(tmp_path / "c.gguf", **keys)
    control = tokenizer.vocabulary.ids["<|a|>"]
    said = [
        {"role": "user", "content": " x<|a|>y zeropointmark0z"},
        {"role": "assistant", "content": "<|<|a|>a|>"},
    ]
    wanted = [control, *b"x<|a|>y zeropointmark0z", control, *b"<|<|a|>a|>"]
    assert chat.encode_chat(checkpoint, tokenizer, said) == wanted
    tools = chat.render_chat(checkpoint, tokenizer, said[:1], {"tools": ["<|a|>"]})
    assert tools.encode(tokenizer) == [control, *b'x<|a|>y zeropointmark0z["<|a|>"]']
    assert tools.text == '<|a|>x<|a|>y zeropointmark0z["<|a|>"]'
    texts = ["<|a|>", "plain"]
    encoded = chat.encode_messages(checkpoint, tokenizer, texts)
    assert encoded == [[control, *text.encode()] for text in texts]
