"""Old names of options. They work for one release after the change, and the help omits them."""

from collections.abc import Iterator, Sequence

#: By command: old name → new name.
RENAMED_OPTIONS = {  # since 0.2
    "bench": {"--prompt": "--prompt-tokens", "--generate": "--tokens"},
    "drift": {"--together": "--batch-size", "--way": "--decoding"},
    "measure": {"--keep": "--reference-cache"},
    "tasks": {"--together": "--batch-size"},
}


def with_current_names(command: str, words: Sequence[str]) -> list[str]:
    """Return the words of a command line with the current names of its options.

    >>> with_current_names("measure", ["a.gguf", "--keep=states", "--", "--keep"])
    ['a.gguf', '--reference-cache=states', '--', '--keep']
    """
    return list(_renamed(RENAMED_OPTIONS.get(command, {}), iter(words)))


def _renamed(names: dict[str, str], words: Iterator[str]) -> Iterator[str]:
    for word in words:
        if word == "--":  # everything after it is an argument
            yield word
            yield from words
        else:
            option, equals, value = word.partition("=")
            yield names.get(option, option) + equals + value
