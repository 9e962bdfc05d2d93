"""Stop strings end a text and are never shown, however the text arrives."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from zeropoint.server.engine.stop_strings import StopStrings

LETTERS = st.text("ab#", max_size=30)


def read(stops: list[str], pieces: list[str]) -> tuple[str, str | None]:
    scanner, shown = StopStrings(stops), ""
    for piece in pieces:
        text, stop = scanner.push(piece)
        shown += text
        if stop is not None:
            return shown, stop
    return shown + scanner.finish(), None


@given(LETTERS, st.lists(st.text("ab#", min_size=1, max_size=4), max_size=3), st.data())
def test_the_cut_into_pieces_changes_nothing(
    text: str, stops: list[str], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    bounds = [0, *cuts, len(text)]
    pieces = [text[a:b] for a, b in pairwise(bounds)]
    shown, stop = read(stops, pieces)
    assert (shown, stop) == read(stops, list(text))
    assert (shown == text) == (stop is None)
    if stop is not None:
        assert text.startswith(shown + stop)
        # Nothing before its end completes another stop string.
        before = text[: len(shown) + len(stop) - 1]
        assert not any(other in before for other in stops)


def test_what_may_begin_a_stop_string_is_held_back_and_nothing_else() -> None:
    scanner = StopStrings(["\n\nUser:", "###"])
    assert scanner.push("yes #") == ("yes ", None)
    assert scanner.push("1\n") == ("#1", None)
    assert scanner.push("\n") == ("", None)
    assert scanner.push("Us") == ("", None)
    assert scanner.push("ed") == ("\n\nUsed", None)
    assert scanner.push("##") == ("", None)
    assert scanner.finish() == "##"
