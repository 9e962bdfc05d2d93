"""The chat of `run` on a terminal."""

from typing import TYPE_CHECKING

from zeropoint.cli.output import Output
from zeropoint.cli.views.run import describe_speed, write

if TYPE_CHECKING:
    from zeropoint.verbs.options.generate import GenerateOptions


def chat(model: str, options: "GenerateOptions", out: Output) -> None:
    """Answer messages until Ctrl-D; Ctrl-C stops an answer."""
    from zeropoint.models import Conversation, Finished, PromptRead
    from zeropoint.verbs.generate import TextGenerator, speed_of

    generator = TextGenerator(model, options)
    conversation = Conversation(
        generator.checkpoint, generator.model, system=options.system, context=options.context
    )
    out.note("Type a message. Ctrl-C stops an answer, Ctrl-D ends the conversation.")
    while True:
        try:
            text = input("> ")
        except (EOFError, KeyboardInterrupt):
            out.say()
            return
        if not text.strip():
            continue
        try:
            answer = conversation.say(text, limit=options.tokens, sampling=generator.sampling)
            for record in answer:
                if isinstance(record, PromptRead):
                    continue
                write(record.text)
                if isinstance(record, Finished):
                    write("\n")
                    out.note(describe_speed(speed_of(record)))
        except KeyboardInterrupt:
            write("\n")
