"""Tools that the built-in dialogues call.

Each part of the corpus has tools of its own, so that no definition is in two parts.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from corpora import held_out_requests as held_out
from corpora import tool_requests as requests
from corpora.tool_requests import Arguments, Call


@dataclass(frozen=True)
class Tool:
    """A function that an assistant may call."""

    name: str
    description: str
    parameters: Arguments
    required: tuple[str, ...]
    example: Callable[[Random], Call]

    @property
    def definition(self) -> Arguments:
        """The definition, as chat templates take it."""
        schema = {"type": "object", "properties": self.parameters, "required": list(self.required)}
        function = {"name": self.name, "description": self.description, "parameters": schema}
        return {"type": "function", "function": function}


def text(description: str) -> Arguments:
    return {"type": "string", "description": description}


def number(description: str) -> Arguments:
    return {"type": "number", "description": description}


def integer(description: str) -> Arguments:
    return {"type": "integer", "description": description}


def one_of(description: str, *choices: str) -> Arguments:
    return {"type": "string", "enum": list(choices), "description": description}


def many(kind: str, description: str) -> Arguments:
    return {"type": "array", "items": {"type": kind}, "description": description}


TOOLS: dict[str, tuple[Tool, ...]] = {
    "calibrate": (
        Tool(
            "days_between",
            "Count the days between two dates of the Gregorian calendar.",
            {"start": text("First date, YYYY-MM-DD"), "end": text("Last date, YYYY-MM-DD")},
            ("start", "end"),
            requests.days_between,
        ),
        Tool(
            "describe_subnet",
            "Explain an IPv4 network given in CIDR notation.",
            {"cidr": text("Network such as 192.0.2.0/24")},
            ("cidr",),
            requests.subnet,
        ),
        Tool(
            "summarize_values",
            "Descriptive statistics of a list of numbers.",
            {"values": many("number", "At least two numbers")},
            ("values",),
            requests.mean_of,
        ),
        Tool(
            "digest",
            "Hash a string.",
            {
                "algorithm": one_of("Hash function", "md5", "sha1", "sha256"),
                "data": text("Text to hash, UTF-8"),
            },
            ("algorithm", "data"),
            requests.make_hash,
        ),
        Tool(
            "wrap",
            "Break a paragraph into lines of limited width.",
            {"text": text("The paragraph"), "width": integer("Maximum columns")},
            ("text", "width"),
            requests.wrap_text,
        ),
        Tool(
            "search_regex",
            "Find all matches of a regular expression.",
            {"pattern": text("Python syntax"), "text": text("Where to search")},
            ("pattern", "text"),
            requests.find_matches,
        ),
        Tool(
            "list_tasks",
            "List the tasks of a person in the tracker.",
            {
                "assignee": text("First name"),
                "status": one_of("Which tasks", "open", "done", "all"),
            },
            ("assignee",),
            requests.list_tasks,
        ),
        Tool(
            "get_forecast",
            "Weather forecast for a city.",
            {"city": text("Name of the city"), "day": one_of("Which day", "today", "tomorrow")},
            ("city",),
            requests.weather,
        ),
        Tool(
            "convert_unit",
            "Convert a quantity between metric and imperial units.",
            {
                "value": number("The quantity"),
                "from": text("Unit it is in"),
                "to": text("Unit wanted"),
            },
            ("value", "from", "to"),
            requests.convert_units,
        ),
        Tool(
            "run_sql",
            "Run one read-only statement on the reporting database.",
            {"sql": text("A SELECT statement")},
            ("sql",),
            requests.run_query,
        ),
        Tool(
            "exchange_rate",
            "Convert an amount of money at the current rate.",
            {
                "amount": number("How much"),
                "base": text("ISO code of the currency held"),
                "quote": text("ISO code of the currency wanted"),
            },
            ("amount", "base", "quote"),
            requests.exchange,
        ),
        Tool(
            "read_file",
            "Return the beginning of a text file of the project.",
            {"path": text("Relative path"), "max_bytes": integer("Stop after so many bytes")},
            ("path",),
            requests.read_file,
        ),
    ),
    "select": (
        Tool(
            "month_info",
            "First weekday and length of a month.",
            {"year": integer("Four digits"), "month": integer("1 to 12")},
            ("year", "month"),
            held_out.month_calendar,
        ),
        Tool(
            "split_url",
            "Split a URL into its components.",
            {"url": text("An absolute URL")},
            ("url",),
            held_out.parse_link,
        ),
        Tool(
            "stock_level",
            "Look up an article in the warehouse.",
            {"sku": text("Article series")},
            ("sku",),
            held_out.stock_level,
        ),
        Tool(
            "reduce_fraction",
            "Reduce a fraction of two integers.",
            {"numerator": integer("Above the bar"), "denominator": integer("Below the bar, not 0")},
            ("numerator", "denominator"),
            held_out.simplify,
        ),
        Tool(
            "spell_check",
            "Look a word up and suggest similar ones.",
            {"word": text("A single English word")},
            ("word",),
            held_out.spelling,
        ),
        Tool(
            "great_circle",
            "Distance of two points on the globe.",
            {
                "origin": many("number", "Latitude and longitude in degrees"),
                "destination": many("number", "The same for the other point"),
            },
            ("origin", "destination"),
            held_out.distance,
        ),
    ),
    "evaluate": (
        Tool(
            "rgb_to_hsv",
            "Translate a colour from RGB to HSV.",
            {"red": integer("0 to 255"), "green": integer("0 to 255"), "blue": integer("0 to 255")},
            ("red", "green", "blue"),
            held_out.to_color,
        ),
        Tool(
            "base64",
            "Encode or decode base64 text.",
            {"data": text("The input"), "direction": one_of("What to do", "encode", "decode")},
            ("data", "direction"),
            held_out.decode,
        ),
        Tool(
            "book_room",
            "Reserve a meeting room.",
            {
                "room": text("Its name"),
                "date": text("YYYY-MM-DD"),
                "start": text("HH:MM"),
                "minutes": integer("Duration"),
                "attendees": integer("Number of people"),
                "organizer": text("Who is responsible"),
            },
            ("room", "date", "start"),
            held_out.room_booking,
        ),
        Tool(
            "file_crc",
            "Compute the CRC-32 of a file on this computer.",
            {"path": text("Path below the home directory")},
            ("path",),
            held_out.check_sum,
        ),
        Tool(
            "next_trains",
            "Departures of a station in one direction.",
            {"station": text("Where"), "towards": text("Destination")},
            ("station",),
            held_out.departures,
        ),
        Tool(
            "name_uuid",
            "Make a name-based UUID, version 5.",
            {"namespace": one_of("Kind of name", "dns", "url", "oid"), "name": text("The name")},
            ("namespace", "name"),
            held_out.new_id,
        ),
    ),
}


def call_id(rng: Random) -> str:
    """Return an identifier of nine letters and digits, which is what Mistral's template accepts."""
    return "".join(rng.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(9))


def messages_of(tool: Tool, rng: Random) -> list[Arguments]:
    """Return one request with its call, result and answer as messages."""
    call = tool.example(rng)
    name = call_id(rng)
    function = {"name": tool.name, "arguments": call.arguments}
    return [
        {"role": "user", "content": call.request},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": name, "type": "function", "function": function}],
        },
        {
            "role": "tool",
            "tool_call_id": name,
            "name": tool.name,
            "content": json.dumps(call.result, ensure_ascii=False),
        },
        {"role": "assistant", "content": call.answer},
    ]
