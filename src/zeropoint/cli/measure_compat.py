"""`measure --llama-compat`: llama-perplexity's protocol, names and base files."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import typer

from zeropoint.cli.output import Output, ProgressStyle, in_bytes
from zeropoint.cli.progress import track


def measure_compat(
    out: Output,
    model: Path,
    ref: Path | None,
    base: Path | None,
    text: tuple[Sequence[Path], int, int | None],
    threads: int | None,
    shown: tuple[ProgressStyle, bool],
    *,
    overwrite: bool,
) -> None:
    """Print what llama-perplexity would print of these logits."""
    from zeropoint.checkpoints import open_model
    from zeropoint.metrics.divergence.compatibility import check_comparable
    from zeropoint.metrics.peers import llama_perplexity as compat
    from zeropoint.metrics.peers.llama_base_file import (
        check_scored,
        print_statistics,
        scored_positions,
    )
    from zeropoint.models import load_model

    files, context, chunks = text
    if ref is None and base is None:
        raise typer.BadParameter("give --ref MODEL, or --llama-base FILE to read one")
    quant = load_model(open_model(model), threads=threads)
    reference = None
    if ref is not None:
        reference = load_model(open_model(ref), threads=threads)
        check_comparable(reference.tokenizer, quant.tokenizer)
        tokens = compat.read_tokens(files, quant, context, chunks)
        if base is not None:
            size = compat.base_bytes(tokens, quant.vocab_size)
            out.note(f"the base file will take {in_bytes(size)}")
        steps = compat.score_models(reference, quant, tokens, base, overwrite=overwrite)
        total = len(tokens)
    else:
        assert base is not None
        opened = compat.open_base_for(base, quant, chunks)
        total, context = len(opened.tokens), opened.context
        steps = compat.score_base(opened, quant)
    check_scored(total * scored_positions(context))  # before a base file is written
    how = out.progress(shown[0])
    scores = [step.scores for step in track(steps, total, "measuring", how)]
    tables = compat.tables(scores)
    out.say(f"llama-perplexity's protocol: context {context}, {total} chunks, positions "
            f"{context // 2} … {context - 2} scored")  # fmt: skip
    out.say()
    out.say(print_statistics(tables))
    if base is not None and ref is not None:
        out.note(f"wrote {base}")
    found = {title: [asdict(figure) for figure in figures] for title, figures in tables.items()}
    out.finish("measure-llama", {"context": context, "chunks": total, "statistics": found})
