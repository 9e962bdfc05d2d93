"""Do our statistics equal llama-perplexity's on the same logits, and how do its logits differ?

    LLAMA_BIN=build/bin python benchmarks/parity.py REFERENCE TEXT [--quants Q8_0,Q4_K_M,...]
                                       [--chunks N] [--threads N] [--work DIR] [--log FILE.jsonl]
    python benchmarks/parity.py --table FILE.jsonl...

`zeropoint quantize` makes each quant from REFERENCE; it is deleted afterwards. If DIR is given,
data about the reference stay there for the next quants. llama-perplexity measures the quant on N
chunks of 512 tokens. Then our statistics are computed from llama.cpp's own logits of the same
tokens, which come from llama-cpp-python (of the Python that ZEROPOINT_PEER_PYTHON names, or of
this one). The table also has our exact figures, and what llama.cpp's arithmetic adds: the
divergence of its logits from each model's exact ones, with its defaults (F16 cache, flash
attention) and with an F32 cache; and the quant with our products of 8-bit activations.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CONTEXT = 512
FIRST = CONTEXT // 2
QUANTS = "Q8_0,Q4_K_M,Q3_K_M,Q2_K"
F32 = NDArray[np.float32]


def serve_logits(path: str, cache: str, threads: str) -> None:
    """Run as the child process with llama.cpp: token ids on stdin, scored logits on stdout."""
    import ctypes

    import llama_cpp

    settings = llama_cpp.llama_context_default_params()
    settings.n_ctx = settings.n_batch = settings.n_ubatch = CONTEXT
    settings.n_threads = settings.n_threads_batch = int(threads)
    if cache == "F32":
        settings.type_k = settings.type_v = 0
        settings.flash_attn_type = 0
    weights = llama_cpp.llama_model_default_params()
    model = llama_cpp.llama_model_load_from_file(path.encode(), weights)
    context = llama_cpp.llama_init_from_model(model, settings)
    size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    batch = llama_cpp.llama_batch_init(CONTEXT, 0, 1)
    batch.n_tokens = CONTEXT
    while chunk := sys.stdin.buffer.read(4 * CONTEXT):
        for i, token in enumerate(np.frombuffer(chunk, "<i4").tolist()):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, i, 1
            batch.seq_id[i][0], batch.logits[i] = 0, FIRST <= i < CONTEXT - 1
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        if llama_cpp.llama_decode(context, batch):
            sys.exit("llama_decode failed")
        rows = ctypes.cast(llama_cpp.llama_get_logits(context), ctypes.POINTER(ctypes.c_float))
        found = np.ctypeslib.as_array(rows, shape=(CONTEXT - 1 - FIRST, size))
        sys.stdout.buffer.write(found.tobytes())
        sys.stdout.buffer.flush()


def peer_logits(path: Path, chunks: NDArray[np.int32], cache: str, threads: int) -> list[F32]:
    """Return llama.cpp's logits (scored, vocabulary) of each chunk."""
    python = os.environ.get("ZEROPOINT_PEER_PYTHON", sys.executable)
    words = [python, __file__, "--serve", str(path), cache, str(threads)]
    done = subprocess.run(
        words, input=chunks.astype("<i4").tobytes(), stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    shape = (len(chunks), CONTEXT - 1 - FIRST, -1)
    return list(np.frombuffer(done.stdout, "<f4").reshape(shape))


def llama_perplexity(threads: int, words: list[str]) -> str:
    """Run llama-perplexity, one sequence at a time, and return its output."""
    tool = str(Path(os.environ["LLAMA_BIN"]) / "llama-perplexity")
    command = [tool, "-c", str(CONTEXT), "-b", str(CONTEXT), "-t", str(threads), *words]
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace",
    ).stdout  # fmt: skip


def printed_figures(output: str) -> dict[str, float]:
    """Return its three tables by name; percentages become fractions."""
    found = {}
    for name, value, rest in re.findall(r"^ *(\S.*?) *: +(-?[\d.]+)(.*)$", output, re.MULTILINE):
        if re.search(r"PPL|KLD|Δp|top p", name):
            found[" ".join(name.split())] = float(value) / (100 if "%" in rest else 1)
    return found


def our_figures(chunks: NDArray[np.int32], sides: Iterator[tuple[F32, F32]]) -> dict[str, float]:
    """Return mean KL, median, 99 %, top-1 and the quant's perplexity by our own statistics."""
    from zeropoint.kernels.compare import compare_logits
    from zeropoint.metrics.divergence.score_chunks import concatenate

    whole = concatenate([
        compare_logits(a, b, chunk[FIRST + 1 :], threads=2)
        for chunk, (a, b) in zip(chunks, sides, strict=True)
    ])  # fmt: skip
    return {
        "Mean KLD": float(whole.kl.mean()),
        "Median KLD": float(np.median(whole.kl)),
        "99.0% KLD": float(np.percentile(whole.kl, 99)),
        "Same top p": float(whole.same_top.mean()),
        "Mean PPL(Q)": float(np.exp(whole.nll_quant.mean())),
    }


def compat_figures(chunks: NDArray[np.int32], sides: Iterator[tuple[F32, F32]]) -> dict[str, float]:
    """Return its figures by its own formulas and 16-bit file, as --llama-compat does."""
    from zeropoint.metrics.peers import llama_base_file as llama
    from zeropoint.metrics.peers.llama_perplexity import join_scores

    scores = []
    for chunk, (a, b) in zip(chunks, sides, strict=True):
        targets = chunk[FIRST + 1 :]
        for at in range(0, len(targets), 32):
            rows = slice(at, at + 32)
            scores.append(llama.score_rows(llama.encode_rows(a[rows]), b[rows], targets[rows]))
    return {
        " ".join(f.name.split()): f.value
        for t in llama.statistics(join_scores(scores)).values()
        for f in t
    }


def exact_logits(path: Path, chunks: NDArray[np.int32], mode: str, threads: int) -> list[F32]:
    """Return our logits (scored, vocabulary) of each chunk."""
    from zeropoint.checkpoints import open_model
    from zeropoint.models import load_model

    with open_model(path) as source:
        model = load_model(source, mode=mode, threads=threads)
        return [model.head(model.hidden(chunk)[FIRST:-1]) for chunk in chunks]


def mean_kl(a: list[F32], b: list[F32]) -> float:
    """Return the mean KL(a ‖ b) over all positions."""
    from zeropoint.kernels.compare import compare_logits

    none = np.zeros(CONTEXT - 1 - FIRST, np.int32)
    return float(np.mean([compare_logits(x, y, none, threads=2).kl for x, y in zip(a, b)]))  # noqa: B905


class Reference:
    """The reference on some chunks: its exact logits, llama.cpp's, and its base file."""

    def __init__(self, path: Path, text: Path, chunks: int, threads: int, folder: Path) -> None:
        from zeropoint.checkpoints import open_model
        from zeropoint.metrics.peers import llama_base_file as llama
        from zeropoint.models.tokenizer import read_tokenizer

        self.path, self.threads, self.base = path, threads, folder / "base.kld"
        if not self.base.exists():
            words = ["-m", str(path), "-f", str(text), "--chunks", str(chunks)]
            llama_perplexity(threads, [*words, "--kl-divergence-base", str(self.base)])
        self.chunks = llama.open_base(self.base).tokens.copy()
        with open_model(path) as source:
            tokenizer = read_tokenizer(source)
        if tokenizer.adds_bos:
            self.chunks[:, 0] = tokenizer.vocabulary.bos
        self.exact = kept(folder, "exact", lambda: self._exact(path))
        self.peer = kept(folder, "F16", lambda: self._peer(path, "F16"))
        self.noise = mean_kl(self.exact, self.peer)
        f32 = kept(folder, "F32", lambda: self._peer(path, "F32"))
        self.noise_f32 = mean_kl(self.exact, f32)

    def against(self, quant: Path) -> dict[str, object]:
        """Measure one quant by every method."""
        words = ["-m", str(quant), "--kl-divergence", "--kl-divergence-base", str(self.base)]
        printed = printed_figures(llama_perplexity(self.threads, words))
        peer = self._peer(quant, "F16")
        compat = compat_figures(self.chunks, zip(self.peer, peer, strict=True))
        plain = our_figures(self.chunks, zip(self.peer, peer, strict=True))
        exact = self._exact(quant)
        found = our_figures(self.chunks, zip(self.exact, exact, strict=True))
        fast = exact_logits(quant, self.chunks, "fast", self.threads)
        return {
            "model": self.path.stem, "tokens": len(self.chunks) * (CONTEXT - 1 - FIRST),
            "printed": {name: printed[name] for name in found},
            "compat": {name: compat[name] for name in found}, "plain": plain, "exact": found,
            "largest": max(abs(printed[n] - compat[n]) for n in compat), "figures": len(compat),
            "itself": mean_kl(exact, exact),
            "reference_noise": self.noise, "reference_noise_f32_cache": self.noise_f32,
            "quant_noise": mean_kl(exact, peer),
            "quant_noise_f32_cache": mean_kl(exact, self._peer(quant, "F32")),
            "our_8_bit_noise": mean_kl(exact, fast), "our_8_bit_kl": mean_kl(self.exact, fast),
        }  # fmt: skip

    def _peer(self, path: Path, cache: str) -> list[F32]:
        return peer_logits(path, self.chunks, cache, self.threads)

    def _exact(self, quant: Path) -> list[F32]:
        return exact_logits(quant, self.chunks, "exact", self.threads)


def kept(folder: Path, name: str, make: Callable[[], list[F32]]) -> list[F32]:
    """Return the reference's logits of each chunk from `folder`, computing missing ones."""
    path = folder / f"{name}.npy"
    if not path.exists():
        np.save(path, np.stack(make()))
    return list(np.load(path, mmap_mode="r"))


def show(rows: list[dict]) -> None:
    """Print both tables in Markdown."""
    print("| Model | Quant | | mean KL | median | 99 % | top-1 | perplexity |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        told = {
            "llama-perplexity": row["printed"],
            "--llama-compat, its logits": row["compat"],
            "without its 16-bit file": row["plain"],
            "exact": row["exact"],
        }
        for who, figures in told.items():
            kl = " | ".join(f"{figures[n]:.6f}" for n in ("Mean KLD", "Median KLD", "99.0% KLD"))
            print(f"| {row['model']} | {row['quant']} | {who} | {kl} "
                  f"| {figures['Same top p']:.3%} | {figures['Mean PPL(Q)']:.4f} |")  # fmt: skip
    print("\n| Model | Quant | largest difference | KL | its KL | KL(exact ‖ its): reference | "
          " F32 cache | quant | F32 cache | ours, 8 bits | KL with ours, 8 bits |")  # fmt: skip
    print("|---" * 11 + "|")
    for row in rows:
        values = [
            row["exact"]["Mean KLD"], row["printed"]["Mean KLD"], row["reference_noise"],
            row["reference_noise_f32_cache"], row["quant_noise"], row["quant_noise_f32_cache"],
            row["our_8_bit_noise"], row["our_8_bit_kl"],
        ]  # fmt: skip
        print(f"| {row['model']} | {row['quant']} | {row['largest']:.1e} | "
              + " | ".join(f"{value:.5f}" for value in values) + " |")  # fmt: skip


def measure(arguments: argparse.Namespace) -> list[dict]:
    """Make, measure and delete the quants."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        work = arguments.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        reference = Reference(*arguments.files, arguments.chunks, arguments.threads, work)
        for name in arguments.quants.split(","):
            quant = Path(folder) / "quant.gguf"
            words = ["quantize", str(reference.path), str(quant), "--to", name, "-q", "--overwrite"]
            made = [sys.executable, "-m", "zeropoint", *words, "--threads", str(arguments.threads)]
            subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
            rows.append({"quant": name, **reference.against(quant)})
            if arguments.log:
                with arguments.log.open("a") as log:
                    log.write(json.dumps(rows[-1]) + "\n")
    return rows


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        return serve_logits(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", type=Path, nargs="*", metavar="REFERENCE TEXT")
    parser.add_argument("--quants", default=QUANTS)
    parser.add_argument("--chunks", type=int, default=2)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--work", type=Path, metavar="DIR")
    parser.add_argument("--log", type=Path)
    parser.add_argument("--table", type=Path, nargs="+", metavar="FILE.jsonl")
    arguments = parser.parse_args()
    if arguments.table:
        lines = [line for path in arguments.table for line in path.read_text().splitlines()]
        return show([json.loads(line) for line in lines])
    if len(arguments.files) != 2:
        parser.error("give REFERENCE and TEXT")
    return show(measure(arguments))


if __name__ == "__main__":
    main()
