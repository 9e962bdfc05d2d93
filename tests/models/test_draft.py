"""Layers for multi-token prediction: read, converted both ways, calibrated, and run as a head."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from support import hf_folders
from support.tiny_models import write_model
from zeropoint.calibration.chunks import Chunk
from zeropoint.calibration.run import CalibrationRun
from zeropoint.checkpoints import open_checkpoint, open_model
from zeropoint.errors import MeasurementError, UnsupportedModel
from zeropoint.formats import FORMATS
from zeropoint.models import Finished, LanguageModel, Sampling, Token, generate, load_model
from zeropoint.models.head_draft import HeadDraft
from zeropoint.models.ngram_draft import NgramDraft
from zeropoint.models.speculation import DraftedModel, draft_maker
from zeropoint.plans import choose_formats
from zeropoint.quantizers import quantize_tensors
from zeropoint.quantizers.export import export_folder

WIDTH, ATTENTION = 64, "model.layers.2."  # a layer of attention, whose shapes a draft layer has


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a draft head of random weights."""
    found = hf_folders.make_folder("qwen35", tmp_path_factory.mktemp("draft") / "model")
    tensors = load_file(found / "model.safetensors")
    torch.manual_seed(5)
    draft = {
        name.replace(ATTENTION, "mtp.layers.0."): tensor.flip(0) * 0.9
        for name, tensor in tensors.items()
        if name.startswith(ATTENTION)
    }
    for name in ("norm", "pre_fc_norm_embedding", "pre_fc_norm_hidden"):
        draft[f"mtp.{name}.weight"] = 0.2 * torch.randn(WIDTH)
    draft["mtp.fc.weight"] = torch.randn(WIDTH, 2 * WIDTH) * 0.15
    kept = {name: tensor.contiguous() for name, tensor in (tensors | draft).items()}
    save_file(kept, found / "model.safetensors", {"format": "pt"})
    return found


@pytest.fixture(scope="module")
def file(folder: Path) -> Path:
    target = folder.parent / "model.gguf"
    with open_model(folder) as source:
        list(quantize_tensors(source, choose_formats(source, "F32"), target))
    return target


@pytest.fixture
def model(file: Path) -> LanguageModel:
    return load_model(open_checkpoint(file), threads=1)


def some_tokens(count: int) -> np.ndarray:
    return np.random.default_rng(6).integers(4, 260, count)


def formula(folder: Path, tokens: np.ndarray, dtype: torch.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return the model's states and the draft's logits, by transformers' parts in torch."""
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).to(dtype)
    tensors = {
        name: tensor.to(dtype)
        for name, tensor in load_file(folder / "model.safetensors").items()
        if name.startswith("mtp.")
    }
    layer = model.model.layers[2]
    own = {
        name.removeprefix("mtp.layers.0."): tensor
        for name, tensor in tensors.items()
        if name.startswith("mtp.layers.0.")
    }
    ids = torch.from_numpy(tokens)
    with torch.no_grad():
        states = model.model(ids[None], use_cache=False).last_hidden_state
        layer.load_state_dict(own)
        embedded = normed(
            model.model.embed_tokens(ids[1:]), tensors["mtp.pre_fc_norm_embedding.weight"]
        )
        before = normed(states[0, :-1], tensors["mtp.pre_fc_norm_hidden.weight"])
        x = torch.cat([embedded, before], dim=-1) @ tensors["mtp.fc.weight"].T
        count = len(x)
        turns = model.model.rotary_emb(x[None], torch.arange(count)[None, None].expand(3, 1, -1))
        mask = torch.full((count, count), -torch.inf, dtype=dtype).triu(1)[None, None]
        x = layer(x[None], position_embeddings=turns, attention_mask=mask)
        logits = normed(x[0], tensors["mtp.norm.weight"]) @ model.lm_head.weight.T
    return states[0].numpy(), logits.numpy()


def normed(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * (1 + weight)


def test_a_draft_head_is_the_published_formula(folder: Path, model: LanguageModel) -> None:
    tokens = some_tokens(30)
    states, single = formula(folder, tokens, torch.float32)
    _, double = formula(folder, tokens, torch.float64)
    head = model.draft_head
    assert head is not None
    ours = model.hidden(tokens)
    logits = head.logits(ours[:-1], tokens[1:])
    assert np.abs(logits - double).max() <= 4 * np.abs(single - double).max()
    assert np.abs(ours - states).max() < 1e-4  # the head changes no state of the model


def test_a_draft_one_by_one_is_the_draft_of_all(model: LanguageModel) -> None:
    tokens, head = some_tokens(30), model.draft_head
    assert head is not None
    states = model.hidden(tokens)[:-1]
    whole = head.hidden(states, tokens[1:])
    for sizes in ([1] * 29, [17, 1, 11]):
        cache, parts, at = head.cache(29), [], 0
        for size in sizes:
            part = slice(at, at + size)
            parts.append(head.hidden(states[part], tokens[1:][part], cache))
            at += size
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    with pytest.raises(MeasurementError, match="a token after each"):
        head.hidden(states, tokens)


def test_a_draft_goes_on_from_its_own_states(model: LanguageModel) -> None:
    """The states of a draft take the place of the model's, to guess one token more."""
    tokens, head = some_tokens(12), model.draft_head
    assert head is not None
    cache = head.cache(14)
    drafted = head.hidden(model.hidden(tokens)[:-1], tokens[1:], cache)
    guess = int(model.head(drafted[-1:]).argmax())
    again = head.logits(drafted[-1:], [guess], cache)
    assert again.shape == (1, model.vocab_size) and np.isfinite(again).all()
    assert cache.lengths[0] == 12


def test_a_draft_head_comes_back_from_a_file(folder: Path, file: Path, tmp_path: Path) -> None:
    with open_checkpoint(file) as source:
        assert source.metadata["qwen35.nextn_predict_layers"] == 1
        assert source.metadata["qwen35.block_count"] == 5
        list(export_folder(source, tmp_path / "back", FORMATS["F32"], threads=1))
    before = load_file(folder / "model.safetensors")
    after = load_file(tmp_path / "back" / "model.safetensors")
    assert after.keys() == before.keys()
    for name, tensor in before.items():
        # −e^x is rounded to float32, and so is 1 + a norm.
        torch.testing.assert_close(after[name], tensor, rtol=0, atol=3e-7)


def test_small_formats_spare_the_draft_head(file: Path) -> None:
    with open_checkpoint(file) as source:
        formats = {choice.name: choice.format.name for choice in choose_formats(source, "Q4_0")}
    drafts = {name: format for name, format in formats.items() if name.startswith("blk.4.")}
    assert {"F32", "Q8_0"} == set(drafts.values())
    assert drafts["blk.4.nextn.eh_proj.weight"] == "Q8_0"


def test_every_matrix_of_a_draft_head_is_calibrated(model: LanguageModel) -> None:
    chunk = Chunk(tokens=some_tokens(24).astype(np.int32), domain="prose")
    run = CalibrationRun(model, [chunk])
    list(run.steps())
    found = run.calibration(["text"], "text").statistics
    layers = {name for name in model.checkpoint.tensors if name.startswith("blk.4.")}
    matrices = {name for name in layers if len(model.checkpoint.tensors[name].shape) > 1}
    assert matrices <= found.keys()
    assert all(found[name].sums.min() > 0 for name in matrices)


@pytest.mark.parametrize("sampling", [Sampling(temperature=0.0), Sampling(temperature=1.0)])
def test_a_text_is_the_same_with_guesses_of_the_head(
    model: LanguageModel, sampling: Sampling
) -> None:
    make = draft_maker("mtp", model)
    assert make is not None
    for length in (1, 520):  # 520: the head reads the states of two passes
        prompt = some_tokens(length).tolist()
        texts = []
        for draft in (None, make(prompt, sampling, 600)):
            records = list(
                generate(
                    DraftedModel(model, draft), prompt, limit=30, sampling=sampling,
                    cache=model.cache(600), stops=frozenset(),
                )
            )  # fmt: skip
            texts.append([record.id for record in records if isinstance(record, Token)])
        assert texts[0] == texts[1]
        assert isinstance(records[-1], Finished) and records[-1].drafts is not None
        assert records[-1].drafts.proposed > 0


def test_the_first_guess_is_that_of_the_head(model: LanguageModel) -> None:
    tokens, head = some_tokens(30), model.draft_head
    assert head is not None
    draft = HeadDraft(model, tokens[:20].tolist(), Sampling(temperature=0.0), 100)
    states = model.hidden(tokens)
    draft.observe(0, states[:12])
    draft.observe(12, states[12:20])
    draft.extend(tokens[20:21].tolist())
    draft.report(0, 0, 1.0)  # a pass without a guess comes first
    first, second = draft.propose(2)
    cache = head.cache(100)
    drafted = head.hidden(states[:20], tokens[1:21], cache)
    assert first == int(head.project(drafted[-1:]).argmax())
    assert second == int(head.logits(drafted[-1:], [first], cache).argmax())
    # Both were wrong: the states that follow replace what the head made of its guesses.
    draft.extend(tokens[21:25].tolist())
    draft.observe(18, states[18:24])  # the first two have been read already
    (again,) = draft.propose(1)
    assert again == int(head.logits(states[:24], tokens[1:25])[-1].argmax())


def test_a_model_without_a_draft_head_says_what_works(tmp_path: Path) -> None:
    other = load_model(write_model(tmp_path / "tiny.gguf"), threads=1)
    with pytest.raises(UnsupportedModel, match="guess with ngram"):
        draft_maker("mtp", other)
    assert isinstance(draft_maker("auto", other)([1, 2], Sampling(), 10), NgramDraft)


def test_auto_is_the_head_where_there_is_one(model: LanguageModel) -> None:
    assert isinstance(draft_maker("auto", model)([1, 2], Sampling(), 10), HeadDraft)
