"""Turns the prompt of a request into tokens: a chat, a text, tokens, or a gap to fill in."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from zeropoint.errors import MissingPackage, UnsupportedModel
from zeropoint.models import LanguageModel, Sampling
from zeropoint.models.chat import RenderedChat, render_chat
from zeropoint.server.engine.generation_defaults import sampling_defaults
from zeropoint.server.engine.grammar import GrammarCompiler, GrammarError
from zeropoint.server.engine.infill_tokens import read_infill_tokens
from zeropoint.server.engine.text import Event, TextWork, failure
from zeropoint.server.engine.token_choice import ChoiceRules

_SAMPLING = {field.name for field in fields(Sampling)}


class RefusedPrompt(UnsupportedModel):
    """A request that the engine cannot work on, with the status and type of the answer."""

    def __init__(self, status: int, type: str, message: str, **more: Any) -> None:
        self.status, self.type, self.more = status, type, more
        super().__init__(message)

    def event(self, id: int) -> Event:
        """Return the event that reports it."""
        return failure(id, self.status, self.type, str(self), **self.more)


class PromptReader:
    """Reads requests for one model."""

    def __init__(self, model: LanguageModel, capacity: int) -> None:
        self.model = model
        self.capacity = capacity
        self.defaults = sampling_defaults(model.checkpoint.metadata)
        self._grammars = GrammarCompiler(model.tokenizer, model.vocab_size)
        vocabulary = model.tokenizer.vocabulary
        self.infill_tokens = read_infill_tokens(model.checkpoint.metadata, vocabulary)

    def work(self, request: Mapping[str, Any]) -> tuple[TextWork, str]:
        """Return the work of a request, and the end of its prompt as text.

        Raises RefusedPrompt.
        """
        ids, text = self.tokens(request["prompt"])
        if not ids:
            raise RefusedPrompt(400, "invalid_request_error", "the prompt is empty", param="prompt")
        if len(ids) >= self.capacity:
            raise RefusedPrompt(
                400,
                "exceed_context_size_error",
                f"the request has {len(ids)} tokens and exceeds the available context size:"
                f" this server's maximum context length is {self.capacity} tokens",
                code="context_length_exceeded",
                n_prompt_tokens=len(ids),
                n_ctx=self.capacity,
            )
        limit = int(request.get("limit", -1))
        room = self.capacity - len(ids) + 1
        options = dict(request.get("sampling", {}))
        bias = {int(token): float(value) for token, value in options.get("logit_bias", [])}
        for text_bias, value in options.get("text_bias", []):
            bias |= dict.fromkeys(self.model.tokenizer.encode(text_bias, special=True), value)
        stop_ids = self.model.tokenizer.stops
        if request.get("ignore_eos"):
            bias |= dict.fromkeys(stop_ids, float("-inf"))
        rules = ChoiceRules(
            sampling=replace(
                self.defaults, **{name: options[name] for name in _SAMPLING & set(options)}
            ),
            presence_penalty=options.get("presence_penalty", 0.0),
            frequency_penalty=options.get("frequency_penalty", 0.0),
            logit_bias=bias,
        )
        work = TextWork(
            id=request["submit"],
            prompt=ids,
            limit=room if limit < 0 else limit,
            rules=rules,
            stops=request.get("stop", ()),
            stop_ids=stop_ids,
            top=request.get("top"),
            special=request.get("special", False),
            reuse=request.get("reuse", True),
            milliseconds=request.get("milliseconds"),
            mask=self._mask(request.get("grammar")),
        )
        return work, text[-200:]

    def tokens(self, prompt: Mapping[str, Any]) -> tuple[list[int], str]:
        """Return the tokens of a prompt, and its text where there is one."""
        tokenizer = self.model.tokenizer
        match prompt["kind"]:
            case "chat":
                rendered = self.chat(prompt)
                ids = rendered.encode(tokenizer)
                begun = tokenizer.encode(prompt.get("begun", ""), continues=True)
                return ids + begun, rendered.text
            case "text":
                return self._plain(prompt["text"]), ""
            case "tokens":
                return self._checked(prompt["ids"]), ""
            case _:
                return self._infill(prompt), ""

    def chat(self, prompt: Mapping[str, Any]) -> RenderedChat:
        """Render a conversation. Raises RefusedPrompt with the template's own reason."""
        try:
            return render_chat(
                self.model.checkpoint,
                self.model.tokenizer,
                prompt["messages"],
                prompt.get("variables"),
            )
        except MissingPackage:
            raise
        except UnsupportedModel as error:
            reason = str(error).removeprefix(f"{self.model.checkpoint.path}: ")
            raise RefusedPrompt(400, "invalid_request_error", reason, param="messages") from None

    def _plain(self, text: str) -> list[int]:
        """Return the tokens of a text, in which control tokens may be written, after BOS."""
        tokenizer = self.model.tokenizer
        ids = tokenizer.encode(text, special=True)
        bos = tokenizer.vocabulary.bos
        if tokenizer.adds_bos and bos is not None and ids[:1] != [bos]:
            ids.insert(0, bos)
        return ids

    def _checked(self, ids: Sequence[int]) -> list[int]:
        wrong = next((one for one in ids if not 0 <= one < self.model.vocab_size), None)
        if wrong is not None:
            raise RefusedPrompt(
                400,
                "invalid_request_error",
                f"token id {wrong} is outside the vocabulary of {self.model.vocab_size} tokens",
                param="prompt",
            )
        return list(ids)

    def _infill(self, prompt: Mapping[str, Any]) -> list[int]:
        """Return prefix and suffix in the order that the model was trained on, extra files first.

        With tokens for repositories each extra file has its name; otherwise its text is part of
        the prefix.
        """
        marks, encode = self.infill_tokens, self.model.tokenizer.encode
        if marks is None:
            raise RefusedPrompt(
                501,
                "not_supported_error",
                "this model has no tokens for filling in the middle (tokenizer.ggml.fim_*)",
            )
        tokenizer = self.model.tokenizer
        bos = tokenizer.vocabulary.bos
        ids = [bos] if tokenizer.adds_bos and bos is not None else []
        extra, prefix = prompt.get("extra", ()), prompt["prefix"]
        if extra and "fim_rep" in marks and "fim_sep" in marks:
            ids += [marks["fim_rep"], *encode("repository\n")]
            for file in extra:
                ids += [marks["fim_sep"], *encode(f"{file['filename']}\n{file['text']}\n")]
            ids += [marks["fim_sep"], *encode(f"{prompt.get('filename', 'file')}\n")]
        else:
            prefix = "".join(f"{file['text']}\n" for file in extra) + prefix
        before = [marks["fim_pre"], *encode(prefix)]
        after = [marks["fim_suf"], *encode(prompt["suffix"])]
        return [
            *ids,
            *before,
            *after,
            marks["fim_mid"],
            *encode(prompt.get("begun", ""), continues=True),
        ]

    def _mask(self, grammar: Mapping[str, Any] | None) -> Any:
        if grammar is None:
            return None
        try:
            return self._grammars.compile(grammar)
        except GrammarError as error:
            raise RefusedPrompt(
                400,
                "invalid_request_error",
                f"the schema cannot be compiled: {error}",
                param="response_format",
            ) from None
