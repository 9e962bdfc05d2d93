"""Pages of tiny models for the tests, and the words to work them with."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.search_runs import write_search
from support.tiny_models import write_model
from zeropoint.checkpoints import open_model
from zeropoint.cli import main
from zeropoint.models import load_model
from zeropoint.studio.data import measure_runs, walk
from zeropoint.studio.report.walk_file import render_walk

TASKS = [
    {"id": "sum", "prompt": "2 + 2 =", "answer": "4"},
    {"id": "town", "prompt": "The capital of Norway is", "choices": ["Oslo", "Rome"], "answer": 0},
    {"id": "any", "prompt": "the rain", "regex": "."},
]

BOUND = 50.0  # ms, what a hand feels
# How long one change takes to be drawn, layout included, in ms, nine times.
MEASURE = """(change) => {
  const run = eval(change), figure = document.querySelector("figure"), took = [];
  for (let i = 0; i < 9; i++) {
    const start = performance.now();
    run();
    figure.getBoundingClientRect();
    took.push(performance.now() - start);
  }
  return took; }"""


@dataclass(frozen=True)
class Example:
    """Files of one tiny model."""

    model: Path
    quant: Path
    runs: tuple[Path, ...]
    data: dict[str, Any]
    walk: Path  # the page


def make_example(folder: Path, architecture: str, columns: int = 256, steps: int = 3) -> Example:
    model = folder / f"tiny-{architecture}.gguf"
    write_model(model, architecture, columns=columns, format="F16")
    quant = folder / "small.gguf"
    texts: list[str] = []
    for name, sentence in (("prose", "the rain in spain 42 "), ("code", "return x [ 0 ] + 1 ; ")):
        texts += ["--text", str(folder / f"{name}.txt")]
        (folder / f"{name}.txt").write_text(sentence * 60)
    run, ladder, made = folder / "measured", folder / "ladder", folder / "made"
    measure = [*texts, "--ctx", "32", "--chunks", "8", "--threads", "1", "--progress", "none", "-q"]
    assert main(["quantize", str(model), str(quant), "--to", "Q4_0", "--run", str(made), "-q"]) == 0
    words = ["measure", str(quant), "--ref", str(model), "--run", str(run)]
    assert main([*words, *measure]) == 0
    words = ["ladder", str(model), "--levels", "16,4,Q8_0", "--run", str(ladder)]
    assert main([*words, *measure]) == 0
    few = ["--threads", "1", "--progress", "none", "-q"]
    words = ["drift", str(quant), "--ref", str(model), "--count", "4", "-n", "8", "--chains", "2"]
    followed = ["--steps", str(steps), "--level", "1", "--run", str(folder / "followed")]
    assert main([*words, *followed, *few]) == 0
    (folder / "tasks.jsonl").write_text("\n".join(map(json.dumps, TASKS)))
    words = ["tasks", str(model), str(quant), "--tasks", str(folder / "tasks.jsonl"), "-n", "8"]
    assert main([*words, "--run", str(folder / "asked"), *few]) == 0
    write_search(folder / "searched", model, run)
    with open_model(model) as source, open_model(quant) as small:
        made_walk = walk.Walk(
            source,
            measure_runs.open_runs([run, ladder]),
            load_model(source, threads=1),
            load_model(small, threads=1),
        )
        list(made_walk.steps())
    data = made_walk.data
    page = folder / "walk.html"
    page.write_text(render_walk(data))
    return Example(model, quant, (run, made, ladder), data, page)


def settle(page: Any) -> None:
    """Wait until every figure is drawn: those out of sight are drawn when the browser is idle."""
    page.wait_for_selector("html:not([data-busy])", state="attached")


def number(page: Any, figure: str, name: str) -> float:
    """Return the number that a figure shows under this name, exactly."""
    settle(page)
    return float(page.locator(f'{figure} [data-name="{name}"]').first.get_attribute("value"))


def turn(page: Any, figure: str, control: str, value: object) -> None:
    """Type into a number or text box, or choose from a menu, of a figure."""
    found = page.locator(f'{figure} [data-control="{control}"]').first
    unfold(page, figure)
    if found.evaluate("e => e.tagName") == "SELECT":
        found.select_option(str(value))
        settle(page)
        return
    found.fill(str(value))
    found.press("Enter")
    found.evaluate("e => e.blur()")
    settle(page)


def unfold(page: Any, figure: str) -> None:
    """Open the options of a figure that are folded away."""
    page.locator(f"{figure} details.more").evaluate_all("all => all.forEach(e => e.open = true)")


def choose(page: Any, figure: str, control: str, value: object) -> None:
    """Press one of a few choices."""
    page.locator(f'{figure} [data-control="{control}={value}"]').evaluate("e => e.click()")
    settle(page)


def press(page: Any, figure: str, control: str) -> None:
    """Press a button, also one that is folded away."""
    unfold(page, figure)
    page.locator(f'{figure} [data-control="{control}"]').click()
    settle(page)


def fits(page: Any, width: int) -> bool:
    """Return whether the page needs no more than this width, in CSS pixels."""
    needed: int = page.evaluate("document.documentElement.scrollWidth")
    return needed <= width


def shows(page: Any, place: str, text: str, *, told: bool = True) -> None:
    """Wait until a place has a text, or has it no longer; figures follow the page's state later."""
    page.wait_for_function(
        "([at, text, told]) => document.querySelector(at).textContent.includes(text) === told",
        arg=[place, text, told],
    )


def rows(page: Any, figure: str) -> list[list[str]]:
    """Open the table behind a figure and return its cells, numbers with all their digits."""
    box = page.locator(f"{figure} details.numbers")
    if box.get_attribute("open") is None:
        box.locator("summary").click()
    box.locator("table").wait_for()
    settle(page)
    found = box.evaluate(
        "d => [...d.querySelectorAll('tbody tr')].map(r => [...r.cells].map("
        "c => c.querySelector('data')?.value ?? c.textContent))"
    )
    assert isinstance(found, list)
    return found


def violations(
    page: Any, settled: Callable[[Any], Any] = lambda page: page
) -> Iterator[tuple[str, list[Any]]]:
    """Yield what axe, which is in the page, finds in both colour schemes.

    Only contrast depends on colours: in the dark nothing else is looked at again.
    """
    for scheme, only in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        page.emulate_media(color_scheme=scheme)
        settled(page)
        # Only failures are described, because descriptions took most of the time.
        options = {"resultTypes": ["violations"], **only}
        found = page.evaluate("options => axe.run(options)", options)["violations"]
        yield scheme, [(v["id"], v["impact"], [n["html"][:160] for n in v["nodes"][:3]])
                       for v in found]  # fmt: skip


def until(page: Any, expression: str) -> None:
    """Wait for what a page says of itself. (The policy lets no waiting script in.)"""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(expression)


__all__ = ["Example", "choose", "make_example", "number", "press", "rows", "turn", "until",
           "violations"]  # fmt: skip
