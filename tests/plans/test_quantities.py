"""Sizes and counts are read as people write them, and nothing else is."""

import pytest

from zeropoint.errors import RecipeError
from zeropoint.formatting import format_bytes
from zeropoint.plans import parse_count, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1.5GiB", 3 << 29), ("900MB", 900_000_000), ("0", 0), ("4096", 4096), ("12 B", 12),
        ("1kb", 1000), ("1KiB", 1024), (" 2 tib ", 2 << 40), (".5GB", 500_000_000),
        ("0.1GB", 100_000_000), ("1.0000000001KB", 1000),
    ],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1e9", "1.5.2GB", "١GB", "inf", "1 000", "5GX"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match=r"is not a size; write 1\.5GiB"):
        parse_size(text)


def test_a_bare_g_is_two_sizes() -> None:
    with pytest.raises(RecipeError, match="'4G' is ambiguous: write 4GB or 4GiB"):
        parse_size("4G")


def test_counts() -> None:
    assert [parse_count(text) for text in ("16k", "16K", "512", "1M", "0.5k")] == [
        16384, 16384, 512, 1 << 20, 512,
    ]  # fmt: skip
    for text in ("1.5", "0.3k", "16kB", "", "k"):
        with pytest.raises(RecipeError, match="is not a number of tokens"):
            parse_count(text)


def test_sizes_on_screen() -> None:
    shown = [format_bytes(size) for size in (0, 1023, 1024, 3 << 29, 5 << 40)]
    assert shown == ["0 B", "1023 B", "1.0 KiB", "1.50 GiB", "5.00 TiB"]
