"""Train the small language model of the walk, and write it to the page's static files.

    OMP_NUM_THREADS=1 python docs/walk/train_stories.py [--steps 1000] [--output FILE]

The model has Llama's architecture: 3 layers of width 192, 6 heads of 32, one token per word of
stories.py, and 1.2 million parameters. Every number is fixed by a seed. The output is a safetensors
file of float16 weights with Hugging Face names. Its metadata holds the vocabulary, the
configuration, the beginnings that the page offers, and a held-out text: stories of a seed that
training never uses.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from random import Random

import torch
from safetensors.torch import save_file
from stories import END, story, tokens_of
from transformers import LlamaConfig, LlamaForCausalLM

OUTPUT = Path(__file__).parents[2] / "src/zeropoint/studio/static/entries/stories.safetensors"
TRAINING_SEED, HELD_OUT_SEED = 17, 1_000_003
HELD_OUT_STORIES = 2
BATCH_STORIES, LEARNING_RATE, WARM_UP_STEPS = 16, 3e-3, 100
IGNORED = -100  # target of padding


def vocabulary() -> list[str]:
    """Return every word of the grammar; the end of a story is token 0."""
    random = Random(0)
    words = {word for _ in range(20_000) for word in tokens_of(story(random))}
    return [END, *sorted(words)]


def configuration(words: list[str]) -> LlamaConfig:
    """Return the shape of the model."""
    return LlamaConfig(
        vocab_size=len(words),
        hidden_size=192,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=192,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )


def batch(random: Random, index: dict[str, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return stories, each between two ends, and their next tokens: both (stories, tokens)."""
    rows = [[0, *(index[word] for word in tokens_of(story(random))), 0]
            for _ in range(BATCH_STORIES)]  # fmt: skip
    length = max(map(len, rows)) - 1
    inputs = torch.zeros(len(rows), length, dtype=torch.long)
    targets = torch.full((len(rows), length), IGNORED)
    for at, row in enumerate(rows):
        inputs[at, : len(row) - 1] = torch.tensor(row[:-1])
        targets[at, : len(row) - 1] = torch.tensor(row[1:])
    return inputs, targets


def train(model: LlamaForCausalLM, words: list[str], steps: int) -> None:
    """Train with AdamW and a cosine schedule; print the loss in nats per word."""
    index = {word: i for i, word in enumerate(words)}
    random = Random(TRAINING_SEED)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.05
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=steps + 1, pct_start=min(WARM_UP_STEPS / steps, 0.3)
    )
    began, seen = time.monotonic(), 0
    for step in range(1, steps + 1):
        inputs, targets = batch(random, index)
        logits = model(inputs, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        seen += int((targets != IGNORED).sum())
        if step % 50 == 0 or step == steps:
            seconds = time.monotonic() - began
            sys.stderr.write(
                f"step {step}: {loss.item():.3f} nats per word, {seen} words, {seconds:.0f} s\n"
            )


def save(model: LlamaForCausalLM, words: list[str], path: Path) -> None:
    """Write the weights in float16, with all that the page must know."""
    random = Random(HELD_OUT_SEED)
    held_out = [[END, *tokens_of(story(random))] for _ in range(HELD_OUT_STORIES)]
    metadata = {
        "vocabulary": json.dumps(words, ensure_ascii=False),
        "config": json.dumps(model.config.to_diff_dict()),
        "held_out": json.dumps([[words.index(word) for word in text] for text in held_out]),
        "licence": "Apache-2.0; trained on stories made by docs/walk/stories.py",
    }
    tensors = {
        name: tensor.detach().to(torch.float16).contiguous()
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"  # it is the embedding
    }
    save_file(tensors, path, metadata)


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    chosen = parser.parse_args()
    torch.manual_seed(TRAINING_SEED)
    words = vocabulary()
    model = LlamaForCausalLM(configuration(words))
    count = sum(parameter.numel() for parameter in model.parameters())
    sys.stderr.write(f"{len(words)} words, {count} parameters\n")
    train(model, words, chosen.steps)
    save(model, words, chosen.output)


if __name__ == "__main__":
    main()
