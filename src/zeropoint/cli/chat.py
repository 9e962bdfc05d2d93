"""The chat of `run` on a terminal."""

from typing import TYPE_CHECKING

from zeropoint.cli.output import Output
from zeropoint.cli.views.run import describe_speed, write

if TYPE_CHECKING:
    from zeropoint.models import Conversation
    from zeropoint.verbs.generate import TextGenerator
    from zeropoint.verbs.options.generate import GenerateOptions

HELP = """Type a message, and Enter sends it. These commands are not sent to the model:
  /help    print this list
  /clear   forget the conversation
  /bye     end the conversation; Ctrl-D does the same
Ctrl-C stops an answer."""


def chat(model: str, options: "GenerateOptions", out: Output) -> None:
    """Answer messages until /bye or Ctrl-D; Ctrl-C stops an answer."""
    from zeropoint.models import has_template
    from zeropoint.verbs.generate import TextGenerator

    generator = TextGenerator(model, options)
    conversation = new_conversation(generator, options)
    if not has_template(generator.checkpoint):
        out.warn("this model has no chat template: it continues texts and may not answer questions")
    out.note("Type a message. /help lists the commands, Ctrl-C stops an answer, /bye ends.")
    while True:
        try:
            text = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            out.say()
            return
        match text.lower():
            case "":
                continue
            case "/bye" | "/exit" | "/quit":
                return
            case "/help" | "/?":
                out.say(HELP)
            case "/clear":
                conversation = new_conversation(generator, options)
                out.say("The conversation is forgotten.")
            case command if command.startswith("/") and command[1:].isalpha():
                out.say(f"There is no command {text}; /help lists the commands.")
            case _:
                answer(generator, conversation, text, options, out)


def new_conversation(generator: "TextGenerator", options: "GenerateOptions") -> "Conversation":
    """Return an empty conversation."""
    from zeropoint.models import Conversation

    return Conversation(
        generator.checkpoint, generator.model, system=options.system, context=options.context,
        drafts=generator.drafts,
    )  # fmt: skip


def answer(
    generator: "TextGenerator",
    conversation: "Conversation",
    text: str,
    options: "GenerateOptions",
    out: Output,
) -> None:
    """Print the model's answer to one message, and its speed."""
    from zeropoint.models import Finished, PromptRead
    from zeropoint.verbs.generate import speed_of

    try:
        records = conversation.say(text, limit=options.tokens, sampling=generator.sampling)
        for record in records:
            if isinstance(record, PromptRead):
                continue
            write(record.text)
            if isinstance(record, Finished):
                write("\n")
                out.note(describe_speed(speed_of(record)))
    except KeyboardInterrupt:
        write("\n")
