"""How much does a recipe for a folder gain on its held-out text, and lose on other text?

    python benchmarks/search_for_folders.py REFERENCE IMATRIX FOLDER... --bits 4 --work DIR
        [--texts builtin:prose,builtin:code] [--chunks 24] [--effort quick] [--threads 2]

For each FOLDER, `search --for FOLDER` finds one recipe, and `search` without it another one, of
equal size and with the same importance. Both models are measured in memory (nearest codes) on the
part of the folder that neither search read, and on the part evaluate of each kind of TEXTS.

The table has the mean KL divergence in nats per token of both, and the ratio of the folder's recipe
to the general one with a 95 % interval that is paired by chunk: below 1, the folder's is better.
Run folders stay in the work folder, so an interrupted script continues.
"""

import argparse
from pathlib import Path

import numpy as np

import zeropoint as zp
from zeropoint.calibration.corpus import builtin_corpus, parse_builtin
from zeropoint.calibration.text_parts import folder_parts
from zeropoint.metrics.statistics import estimate
from zeropoint.results.run_store import RunFolder

CONTEXT = 512  # tokens of a chunk


def find(words: argparse.Namespace, name: str, folder: Path | None) -> Path:
    """Return the recipe for a folder or the general one; search for it unless it is there."""
    recipe: Path = words.work / f"{name}.recipe"
    if not recipe.exists():
        zp.search(
            words.reference, recipe, bits=words.bits, text=words.texts, for_folder=folder,
            imatrix=words.imatrix, effort=words.effort, threads=words.threads,
        )  # fmt: skip
    return recipe


def measured(words: argparse.Namespace, recipe: Path, text: Path) -> list[dict[str, np.ndarray]]:
    """Return the chunks of a measurement of a recipe on a text."""
    run = words.work / f"{recipe.stem} on {text.stem}"
    zp.measure(
        words.reference, to=str(recipe), text=text, context=CONTEXT, chunks=words.chunks,
        floor_chunks=0, imatrix=words.imatrix, run=run, threads=words.threads,
        reference_cache=words.work / "reference",
    )  # fmt: skip
    found = RunFolder.open(run)
    return [found.load_chunk(index) for index in range(found.chunks_done())]


def texts_of(words: argparse.Namespace, folder: Path) -> list[Path]:
    """Write the held-out part of a folder and of the built-in text; return the files."""
    texts = {f"held out of {folder.name}": folder_parts(folder)["evaluate"]}
    for text in words.texts:
        built_in = parse_builtin(text)
        assert built_in is not None, "TEXTS are built-in texts"
        texts |= builtin_corpus("evaluate", built_in[0]).domains
    files = []
    for name, text in texts.items():
        files.append(words.work / f"{name}.txt")
        files[-1].write_text(text)
    return files


def main() -> None:
    """Search, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("reference", type=Path)
    parser.add_argument("imatrix", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--bits", type=float, required=True)
    parser.add_argument("--work", metavar="DIR", type=Path, required=True)
    parser.add_argument("--texts", default="builtin:prose,builtin:code")
    parser.add_argument("--chunks", type=int, default=24)
    parser.add_argument("--effort", default="quick")
    parser.add_argument("--threads", type=int)
    words = parser.parse_args()
    words.texts = words.texts.split(",")
    words.work.mkdir(exist_ok=True)
    print("| Folder | Text | KL, general | KL, for the folder | Ratio (95 % interval) |")
    print("|---|---|---|---|---|")
    general = find(words, "general", None)
    for folder in words.folders:
        own = find(words, f"for {folder.name}", folder)
        for text in texts_of(words, folder):
            base, found = measured(words, general, text), measured(words, own, text)
            sums = [np.array([chunk["kl"].sum() for chunk in chunks]) for chunks in (base, found)]
            tokens = sum(chunk["kl"].size for chunk in base)
            ratio = estimate(sums[1], sums[0])
            print(
                f"| {folder.name} | {text.stem} | {sums[0].sum() / tokens:.4f} |"
                f" {sums[1].sum() / tokens:.4f} |"
                f" {ratio.mean:.3f} ({ratio.low:.3f} … {ratio.high:.3f}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
