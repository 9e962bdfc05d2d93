"""Does `plan` predict the memory that llama.cpp allocates?

    python benchmarks/plan_memory.py MODEL... [--peer PYTHON] [--table]

llama.cpp loads each GGUF file and makes contexts of 512, 4,096 and 32,768 tokens, with caches in
F16 and Q8_0, whole and windowed. The script compares the sizes that it logs (`buffer size = …
MiB`) with `plan`'s figures. PYTHON is an interpreter that has llama-cpp-python. --table prints
Markdown for docs/plan.md.
"""

import argparse
import json
import re
import subprocess
import sys
from itertools import product

MIB = 2**20
CONTEXTS, CACHES = (512, 4096, 32768), ("F16", "Q8_0")
GGML = {"F16": 1, "Q8_0": 8}


def peer_side(path: str) -> None:
    """Load a model with llama.cpp and print the allocations for each context."""
    import ctypes

    import llama_cpp as llama

    lines: list[str] = []

    @llama.llama_log_callback
    def log(_level: int, text: bytes, _user: object) -> None:
        lines.append(text.decode(errors="replace"))

    def buffers(kind: str) -> float:
        return sum(map(float, re.findall(kind + r" buffer size = +([\d.]+) MiB", "".join(lines))))

    llama.llama_log_set(log, ctypes.c_void_p(0))
    llama.llama_backend_init()
    settings = llama.llama_model_default_params()
    settings.use_extra_bufts = False  # no second, rearranged copy of the weights
    model = llama.llama_model_load_from_file(path.encode(), settings)
    weights = buffers("model")
    for context, cache, full in product(CONTEXTS, CACHES, (False, True)):
        lines.clear()
        wanted = llama.llama_context_default_params()
        wanted.n_ctx, wanted.n_batch, wanted.n_ubatch = context, 2048, 512
        wanted.type_k = wanted.type_v = GGML[cache]
        wanted.swa_full = full
        made = llama.llama_init_from_model(model, wanted)
        row = {"context": context, "cache": cache, "full": full, "weights": weights,
               "kv": buffers("KV") + buffers("RS"), "compute": buffers("compute"),
               "output": buffers("output"), "version": llama.__version__}  # fmt: skip
        print(json.dumps(row), flush=True)
        llama.llama_free(made)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--peer", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--peer-side", metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.peer_side:
        peer_side(options.peer_side)
        return

    from zeropoint.plans.memory.memory import PlanWorkload, memory_use
    from zeropoint.verbs.plan import describe_model

    worst_kv = worst = 0.0
    if options.table:
        print("| Model | Context | Cache | KV, MiB | of llama.cpp | Total, MiB | of llama.cpp | |")
        print("|---|---|---|---|---|---|---|---|")
    for path in options.models:
        spec, _ = describe_model(path)
        done = subprocess.run(
            [options.peer, __file__, "--peer-side", path],
            capture_output=True,
            text=True,
            check=True,
        )
        seen = set()
        for row in map(json.loads, filter(None, done.stdout.splitlines())):
            workload = PlanWorkload(context=row["context"], keys=row["cache"], values=row["cache"],
                            full_windows=row["full"])  # fmt: skip
            ours = memory_use(spec.shape, spec.source.tensors.values(), workload)
            theirs = row["weights"] + row["kv"] + row["compute"] + row["output"]
            kv, total = ours.kv_bytes / MIB, ours.total_bytes / MIB
            off, off_kv = total / theirs - 1, kv / row["kv"] - 1
            worst, worst_kv = max(worst, abs(off)), max(worst_kv, abs(off_kv))
            key = (row["context"], row["cache"], kv)
            if key in seen:  # without windows both caches are one
                continue
            seen.add(key)
            name = spec.label + (", whole windows" if row["full"] and spec.shape.windowed
                                    else "")  # fmt: skip
            cells = (name, row["context"], row["cache"], f"{kv:.2f}", f"{row['kv']:.2f}",
                     f"{total:.1f}", f"{theirs:.1f}", f"{100 * off:+.2f} %")  # fmt: skip
            print("| " + " | ".join(map(str, cells)) + " |" if options.table else cells, flush=True)
    print(f"\nAt most {100 * worst_kv:.2f} % off in KV (the log has two decimals), "
          f"{100 * worst:.2f} % in total.")  # fmt: skip


if __name__ == "__main__":
    main()
