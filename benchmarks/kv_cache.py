"""What does a KV cache in fewer bits cost, by length of the context?

    python benchmarks/kv_cache.py MODEL... --text FILE --work DIR [--ctx 2048:6 8192:3] [--table]

For each model, context and type of the cache this is `zeropoint measure MODEL --kv TYPE --ctx N`:
KL of the model with the cache in F32 to itself with the cache in TYPE. A type that ends in
"-plain" is not rotated. Results are kept in DIR, one file each, and are not measured again.
--table prints those that are there as Markdown for docs/kv-cache.md.
"""

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

import zeropoint as zp

TYPES = ("q8_0", "q4_0", "q4_0-plain", "q8_0/q4_0", "q4_0/q8_0", "q8_0-plain", "f16")
PLAIN = "-plain"


def measure(model: Path, context: int, chunks: int, type: str, arguments: Any) -> Any:
    """Return the result of one measurement, and keep it."""
    name = f"{model.stem}.{context}.{type.replace('/', '+')}.json"
    path = arguments.work / name
    if path.exists():
        return json.loads(path.read_text())
    if arguments.table:
        return None
    result = zp.measure(
        model,
        kv=type.removesuffix(PLAIN),
        kv_rotation=not type.endswith(PLAIN),
        text=arguments.text,
        context=context,
        chunks=chunks,
        floor_chunks=0,
        reference_cache=arguments.work / f"{model.stem}.{context}.states",
        threads=arguments.threads,
    )
    found = {"chunks": chunks, "tokens": result.tokens, "kl": result.kl.mean, "low": result.kl.low,
             "high": result.kl.high, "p99": result.kl.p99, "top1": result.top1,
             "ratio": result.perplexity.ratio.mean}  # fmt: skip
    path.write_text(json.dumps(found))
    print(name, found, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--ctx", nargs="+", default=["2048:6", "8192:3"], metavar="TOKENS:CHUNKS")
    parser.add_argument("--types", nargs="+", default=TYPES)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    lengths = [tuple(map(int, text.split(":"))) for text in arguments.ctx]
    rows = [("Model", "Context, tokens", "Chunks", "Cache", "KL", "95 % interval", "99 % of KL",
             "Same top token", "Perplexity ratio"), ("---",) * 9]  # fmt: skip
    for model, (context, chunks), type in product(arguments.models, lengths, arguments.types):
        found = measure(model, context, chunks, type, arguments)
        if found:
            rows.append((
                model.stem, f"{context:,}", str(found["chunks"]),
                type.replace(PLAIN, ", not rotated"), f"{found['kl']:.6f}",
                f"{found['low']:.6f} to {found['high']:.6f}", f"{found['p99']:.4f}",
                f"{found['top1']:.2%}", f"{found['ratio']:.4f}",
            ))  # fmt: skip
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
