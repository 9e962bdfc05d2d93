"""Snippets of chat templates beside transformers: the same text, or an error in both."""

from collections.abc import Mapping

import pytest
from jinja2.exceptions import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from zeropoint.errors import UnsupportedModel
from zeropoint.models import chat, template_child

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "1 < 2 & 'é' \"?\"\n  x  "},
    {"role": "assistant", "content": " yes ", "tool_calls": [{"name": "f", "arguments": {"a": 1}}]},
    {"role": "user", "content": "sure?"},
    {"role": "assistant", "content": "so", "reasoning": "why"},
]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "image_token": "<img>"}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"b": 1, "a": [None, True]}}}]

SAME = [
    # names that are always defined
    "{{ tools is none }}{{ documents is none }}{{ tools is defined }}{{ documents is defined }}",
    "{% if tools is not none %}T{% else %}-{% endif %}",
    "{{ add_generation_prompt }}{{ messages | length }}",
    "{{ bos_token }}{{ eos_token }}{{ unk_token }}{{ image_token }}",
    "{{ pad_token is defined }}{{ sep_token }}{{ cls_token is none }}",
    "{{ enable_thinking is defined }}{{ date_string is not defined }}",
    "{% for m in messages %}{{ m.thinking }}{{ m.reasoning_content }}{{ m | length }}{% endfor %}",
    # tojson
    "{{ {'b': 1, 'a': [2]} | tojson }}",
    "{{ {'b': 1, 'a': [2]} | tojson(separators=(',', ':')) }}",
    "{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }}",
    "{{ messages[1].content | tojson }}{{ messages[1].content | tojson(ensure_ascii=true) }}",
    "{{ messages | tojson(indent=2) }}{{ messages[0] | tojson(indent='\t') }}",
    "{{ 'é' | tojson(true) }}{{ [1] | tojson(false, 2) }}",
    "{{ '<a> & b' | tojson }}{{ none | tojson }}{{ 1.0 | tojson }}{{ true | tojson }}",
    "{{ tools | tojson(indent=4, sort_keys=True, separators=(', ', ': ')) }}",
    # white space of blocks
    "a\n  {% if 1 %}\n b\n  {% endif %}\nc\n",
    "a\n  {%- if 1 -%}\n b\n  {%- endif -%}\nc\n\n",
    "  {# a comment #}\nx {{ 'y' }}\n{{ 'z' -}}\n\n w",
    "{%+ if 1 %} x {%+ endif %}\n",
    "a\r\n{% if 1 %}\r\nb\r\n{% endif %}\r\n",
    # loops
    "{% for m in messages %}{% if loop.index0 == 1 %}{% continue %}{% endif %}{{ loop.index }}"
    "{% if loop.last %}{% break %}{% endif %}{% endfor %}",
    "{% for m in messages if m.role == 'user' %}{{ loop.previtem.role }}{{ loop.nextitem }}"
    "{% else %}none{% endfor %}",
    "{% for m in messages %}{{ loop.cycle('a', 'b') }}{{ loop.changed(m.role) }}{% endfor %}",
    "{% for a in [1, [2, [3]]] recursive %}{% if a is iterable %}({{ loop(a) }}){% else %}{{ a }}"
    "{% endif %}{% endfor %}",
    "{% for k, v in tools[0].function.items() if tools %}{{ k }}{% endfor %}",
    "{% for i in range(3, 0, -1) %}{{ i }}{% endfor %}{{ range(4) | list }}",
    "{% for m in messages[::-1] %}{{ m.role[0] }}{% endfor %}{{ messages[-1]['content'] }}",
    # names and scopes
    "{% set ns = namespace(n=0, last='') %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
    "{% set x = ns.n %}{% endfor %}{{ ns.n }}{{ x is defined }}",
    "{% set text %}a {{ 1 + 1 }} b{% endset %}[{{ text }}]",
    "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}",
    "{% macro say(m, end='!') %}<{{ m }}{{ end }}{{ caller() if caller else '' }}>{% endmacro %}"
    "{{ say('a') }}{{ say('b', end='?') }}{% call say('c') %}d{% endcall %}{{ say.name }}",
    "{% set a, b = messages[0].role, 2 %}{{ a }}{{ b }}{{ dict(a=1) }}{{ dict.fromkeys(['x']) }}",
    "{% filter upper %}a {{ 'b' }}{% endfilter %}{% generation %}g{{ 1 }}{% endgeneration %}",
    "{% for m in messages %}{% generation %}{{ m.role }}{% set y = 1 %}{% endgeneration %}"
    "{{ y is defined }}{% endfor %}",
    "{% block x %}in a block{% endblock %}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}",
    "{% set j = joiner(', ') %}{% for i in range(3) %}{{ j() }}{{ i }}{% endfor %}",
    # filters and tests
    "{{ messages | map(attribute='role') | join(',') }}{{ messages | selectattr('role', 'equalto',"
    " 'user') | list | length }}{{ messages | rejectattr('tool_calls') | list | length }}",
    "{{ ' a ' | trim }}{{ 'ab' | replace('a', 'b') }}{{ [3, 1] | sort }}"
    "{{ 'x' | indent(2, true) }}",
    "{{ messages[2].tool_calls[0].arguments | items | list }}{{ {'b': 1, 'a': 2} | dictsort }}",
    "{{ 'a,b' | string | upper | length }}{{ 3.7 | int }}{{ '3' | float }}{{ none | default('d') }}"
    "{{ '' | default('e', true) }}{{ [1, 2] | first }}{{ 5 // 2 }}{{ 2 ** 3 }}{{ 7 % 4 }}",
    "{{ 'a' in 'abc' }}{{ 'role' in messages[0] }}{{ 1 is number }}{{ 'x' is string }}"
    "{{ messages is sequence }}{{ messages[0] is mapping }}{{ false is false }}{{ 3 is odd }}",
    "{{ '<b>' | e }}{{ '<b>' | safe }}{{ [1, [2]] | tojson | escape }}",
    "{{ [{'k': 1}, {'k': 2}] | groupby('k') | list | length }}{{ [1, 2, 3] | batch(2) | list }}",
    "{{ messages | unique(attribute='role') | list | length }}{{ [1, 2] | sum }}"
    "{{ 'a b' | title }}",
    # methods
    "{{ 'a b c'.split(' ', 1) }}{{ 'abc'.startswith('a') }}{{ 'x'.join(['a', 'b']) }}"
    "{{ ' a'.lstrip() }}{{ 'abc'.rstrip('c') }}{{ 'a'.center(3, '*') }}{{ 'aB'.swapcase() }}",
    "{{ 'Ab'.casefold() }}{{ 'a\tb'.expandtabs(2) }}{{ '{} {x}'.format(1, x=2) }}"
    "{{ 'abc'.find('c') }}{{ 'ab'.removeprefix('a') }}{{ 'a-b'.partition('-') }}",
    "{{ messages[0].get('x', 'none') }}{{ messages[0].keys() | list }}{{ [1, 1].count(1) }}"
    "{{ {'a': 1}.copy() }}{{ [1].copy() }}{{ 2.0.is_integer() }}{{ 'x' ~ 1 ~ none }}",
    "{{ messages[1].content.splitlines() }}{{ messages[1]['content'][2:5] }}{{ 'é'.isalpha() }}",
    "{{ messages[9] is defined }}{{ messages[0].nothing }}{{ nothing }}{{ nothing | length }}",
    "{{ '%s and %d' | format('a', 3) }}{{ 'a' if 1 > 2 }}{{ not none }}"
    "{{ 1 if x is defined else 2 }}",
]
REFUSED = [
    "{{ raise_exception('no') }}",
    "{{ messages[0] | tojson(nothing=1) }}",
    "{{ [1] | tojson(sort=true) }}",
    "{{ missing + 'x' }}",
    "{{ missing.attribute }}",
    "{{ missing | tojson }}",
    "{% for m in messages %}{{ m.role }}",
    "{{ messages | nofilter }}",
    "{{ strftime_now() }}",
    "{{ messages.append(1) }}",
    "{% set ns = namespace(_a=1) %}",
    "{% set ns = namespace() %}{% set ns._a = 1 %}",
]


def theirs(template: str, **more: object) -> str:
    (text,), _ = render_jinja_template(
        [MESSAGES], chat_template=template, **{"add_generation_prompt": True, **TOKENS, **more}
    )
    return str(text)


def variables(**more: object) -> Mapping[str, object]:
    return {"messages": MESSAGES, "add_generation_prompt": True, **TOKENS, **more}


@pytest.mark.parametrize("template", SAME)
def test_a_snippet_gives_the_text_of_transformers(template: str) -> None:
    for more in ({}, {"tools": TOOLS}, {"documents": [{"title": "t", "text": "x"}]}):
        wanted: str | None
        try:
            wanted = theirs(template, **more)
        except (TypeError, TemplateError):  # `tools.items()` of none
            wanted = None
        try:
            found = template_child.render(template, dict(variables(**more)))
        except (TypeError, TemplateError):
            found = None
        assert found == wanted


@pytest.mark.parametrize("template", REFUSED)
def test_a_snippet_that_transformers_refuses_is_refused(template: str) -> None:
    with pytest.raises((TypeError, TemplateError)):
        theirs(template)
    with pytest.raises((TypeError, TemplateError)):
        template_child.render(template, dict(variables()))


def test_the_child_process_defines_the_same_names() -> None:
    """The process renders what its function renders, errors included."""
    everything = "\n".join(SAME[:14])
    assert chat.render(everything, variables()) == theirs(everything)
    assert chat.render("{{ tools is none and documents is none }}", {}) == "True"
    with pytest.raises(UnsupportedModel, match="sort"):
        chat.render("{{ [1] | tojson(sort=true) }}", variables())


def test_the_date_is_the_present_one() -> None:
    template = "{{ strftime_now('%Y-%m-%d') }}"
    before, found, after = theirs(template), chat.render(template, {}), theirs(template)
    assert before <= found <= after
