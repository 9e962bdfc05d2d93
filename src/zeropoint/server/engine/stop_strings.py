"""Ends a text at the first of several stop strings, which is never shown, not even in part."""

from collections.abc import Sequence


class StopStrings:
    """Passes on text that cannot belong to a stop string, and holds back the rest.

    The result does not depend on how the text is cut into pieces.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""

    def push(self, text: str) -> tuple[str, str | None]:
        """Return the text that may be shown, and the stop string that is complete, or None.

        Of several stop strings the one that is complete first counts; then the longest.

        >>> StopStrings(["END"]).push("the EN"), StopStrings(["END"]).push("the END.")
        (('the ', None), ('the ', 'END'))
        """
        held = self._held + text
        found = [(at + len(s), at, s) for s in self._stops if (at := held.find(s)) >= 0]
        if found:
            _, at, stop = min(found)
            self._held = ""
            return held[:at], stop
        shown = len(held) - max((_overlap(held, stop) for stop in self._stops), default=0)
        self._held = held[shown:]
        return held[:shown], None

    def finish(self) -> str:
        """Return what was held back: the text ends, so it is no stop string."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of a text begin the stop string."""
    for size in range(min(len(stop) - 1, len(text)), 0, -1):
        if stop.startswith(text[-size:]):
            return size
    return 0
