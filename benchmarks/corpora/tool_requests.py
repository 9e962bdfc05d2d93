"""Requests for the tools of the built-in dialogues, with real results."""

import calendar
import datetime as dt
import hashlib
import ipaddress
import re
import statistics
import textwrap
from dataclasses import dataclass
from random import Random
from typing import Any

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One request: what the user says, the call, its result, and the answer."""

    request: str
    arguments: Arguments
    result: Any
    answer: str


WORDS = (
    "harvest lantern meadow cobalt ferry glacier orchard pepper quarry ribbon saddle timber violet"
    " walnut anchor bridge candle desert ember forest garden harbor island jacket kettle ladder"
    " marble needle oyster pebble rocket silver tunnel umbrella valley window"
).split()
PLACES = (
    "Oslo Lima Nairobi Hanoi Porto Quito Tbilisi Perth Dakar Riga Osaka Tunis Bergen Cusco".split()
)
PEOPLE = "Ada Boris Chen Dalia Emeka Freya Gita Hugo Ines Jonas Keiko Luca Maya Nils Oksana Petra".split()


def some_day(rng: Random) -> dt.date:
    return dt.date(2019, 1, 1) + dt.timedelta(rng.randrange(3000))


def days_between(rng: Random) -> Call:
    a, b = sorted((some_day(rng), some_day(rng)))
    days = (b - a).days
    ask = rng.choice(
        (
            "How many days are there from {} to {}?",
            "I moved in on {} and out on {}. How long was that, in days?",
            "What is the number of days between {} and {}?",
        )
    )
    return Call(
        ask.format(a, b),
        {"start": str(a), "end": str(b)},
        {"days": days, "weeks": round(days / 7, 1)},
        f"That is {days} days, or about {days / 7:.1f} weeks.",
    )


def subnet(rng: Random) -> Call:
    net = ipaddress.ip_network(
        f"10.{rng.randrange(256)}.{rng.randrange(256)}.0/{rng.randint(22, 29)}", strict=False
    )
    assert isinstance(net, ipaddress.IPv4Network)
    hosts = net.num_addresses - 2
    result = {
        "network": str(net.network_address),
        "netmask": str(net.netmask),
        "broadcast": str(net.broadcast_address),
        "hosts": hosts,
    }
    ask = rng.choice(
        (
            f"What's the netmask of {net}?",
            f"How many machines fit into {net}?",
            f"Give me the broadcast address for {net}, please.",
        )
    )
    return Call(
        ask,
        {"cidr": str(net)},
        result,
        f"{net} has the netmask {net.netmask} and the broadcast address {net.broadcast_address}; {hosts} hosts fit into it.",
    )


def mean_of(rng: Random) -> Call:
    data = [round(rng.uniform(8, 40), 1) for _ in range(rng.randint(5, 10))]
    result = {
        "mean": round(statistics.mean(data), 3),
        "median": statistics.median(data),
        "stdev": round(statistics.stdev(data), 3),
    }
    what = rng.choice(("temperatures", "lap times", "parcel weights", "response times", "readings"))
    return Call(
        f"Here are my {what}: {', '.join(map(str, data))}. Can you summarize them?",
        {"values": data},
        result,
        f"The mean of your {len(data)} {what} is {result['mean']}, the median {result['median']:g}, and they scatter with a standard deviation of {result['stdev']}.",
    )


def make_hash(rng: Random) -> Call:
    word = " ".join(rng.sample(WORDS, 3))
    kind = rng.choice(("md5", "sha1", "sha256"))
    digest = hashlib.new(kind, word.encode()).hexdigest()
    return Call(
        f'Compute the {kind} of the string "{word}".',
        {"algorithm": kind, "data": word},
        {"hexdigest": digest},
        f'The {kind} digest of "{word}" is `{digest}`.',
    )


def wrap_text(rng: Random) -> Call:
    words = " ".join(rng.choice(WORDS) for _ in range(rng.randint(14, 24)))
    width = rng.randint(18, 34)
    lines = textwrap.wrap(words, width)
    return Call(
        f"Wrap this to {width} columns: {words}",
        {"text": words, "width": width},
        {"lines": lines},
        f"Here it is in {len(lines)} lines:\n\n" + "\n".join(lines),
    )


def find_matches(rng: Random) -> Call:
    ids = [f"{rng.choice('ABC')}{rng.randint(10, 99)}-{rng.randint(100, 999)}" for _ in range(4)]
    line = f"{rng.choice(PEOPLE)} shipped {ids[0]} and {ids[1]} on {some_day(rng)}; {ids[2]} came back, {ids[3]} is missing."
    pattern = rng.choice((r"[A-C]\d{2}-\d{3}", r"\d{4}-\d{2}-\d{2}", r"[A-Z][a-z]+"))
    found = re.findall(pattern, line)
    return Call(
        f"Which parts of this line match `{pattern}`?\n\n{line}",
        {"pattern": pattern, "text": line},
        {"matches": found},
        f"There {'is one match' if len(found) == 1 else f'are {len(found)} matches'}: {', '.join(f'`{m}`' for m in found)}.",
    )


def list_tasks(rng: Random) -> Call:
    who, n = rng.choice(PEOPLE), rng.randint(2, 4)
    verbs = "call the plumber;renew the passport;water the tomatoes;review the draft;book the ferry;return the books;pay the electrician;fix the gate".split(
        ";"
    )
    tasks = [
        {"id": rng.randint(10, 99), "title": title, "due": str(some_day(rng))}
        for title in rng.sample(verbs, n)
    ]
    first = min(tasks, key=lambda task: str(task["due"]))
    return Call(
        f"What does {who} still have to do, and what comes first?",
        {"assignee": who, "status": "open"},
        {"tasks": tasks},
        f"{who} has {n} open tasks. The first one is to {first['title']}, due on {first['due']}.",
    )


def weather(rng: Random) -> Call:
    place, high, rain = rng.choice(PLACES), rng.randint(-6, 36), rng.randint(0, 95)
    sky = rng.choice(
        (
            "clear",
            "cloudy",
            "showers",
            "fog",
            "thunderstorms",
            "light snow" if high < 3 else "windy",
        )
    )
    low = high - rng.randint(3, 12)
    tip = "Take an umbrella." if rain > 50 else "You can leave the umbrella at home."
    return Call(
        rng.choice(
            (
                f"What will it be like in {place} tomorrow?",
                f"Should I pack an umbrella for {place}?",
                f"Forecast for {place}, please.",
            )
        ),
        {"city": place, "day": "tomorrow"},
        {"high": high, "low": low, "sky": sky, "rain_percent": rain},
        f"Tomorrow in {place}: {sky}, between {low} and {high} °C, with a {rain} % chance of rain. {tip}",
    )


def convert_units(rng: Random) -> Call:
    table = (
        ("km", "mi", 0.621371),
        ("kg", "lb", 2.204623),
        ("L", "gal", 0.264172),
        ("m", "ft", 3.28084),
        ("cm", "in", 0.393701),
    )
    source, target, factor = rng.choice(table)
    x = round(rng.uniform(1, 500), 1)
    return Call(
        rng.choice(
            (
                f"{x} {source} in {target}?",
                f"How much is {x} {source} in {target}?",
                f"Convert {x} {source} to {target}.",
            )
        ),
        {"value": x, "from": source, "to": target},
        {"value": round(x * factor, 3)},
        f"{x} {source} is {x * factor:.2f} {target}.",
    )


def run_query(rng: Random) -> Call:
    table, month = rng.choice(("orders", "visits", "repairs", "loans")), rng.randint(1, 12)
    rows = [[place, rng.randint(3, 900)] for place in rng.sample(PLACES, 3)]
    rows.sort(key=lambda row: -int(row[1]))
    sql = f"SELECT city, COUNT(*) AS n FROM {table} WHERE month = {month} GROUP BY city ORDER BY n DESC LIMIT 3"
    return Call(
        f"Which three cities had the most {table} in {calendar.month_name[month]}?",
        {"sql": sql},
        {"columns": ["city", "n"], "rows": rows},
        f"{rows[0][0]} leads with {rows[0][1]} {table}, followed by {rows[1][0]} ({rows[1][1]}) and {rows[2][0]} ({rows[2][1]}).",
    )


def exchange(rng: Random) -> Call:
    a, b = rng.sample(("EUR", "USD", "JPY", "KES", "BRL", "INR", "PLN", "MAD"), 2)
    x, rate = rng.randint(5, 3000), round(rng.uniform(0.05, 30), 4)
    return Call(
        f"I have {x} {a}. What would I get in {b}?",
        {"amount": x, "base": a, "quote": b},
        {"rate": rate, "amount": round(x * rate, 2)},
        f"At today's rate of {rate}, you would get {x * rate:.2f} {b} for your {x} {a}.",
    )


def read_file(rng: Random) -> Call:
    name, port = f"etc/{rng.choice(WORDS)}.ini", rng.randint(1024, 65535)
    content = f"[server]\nport = {port}\nworkers = {rng.randint(1, 16)}\n\n[log]\nlevel = {rng.choice(('debug', 'info', 'error'))}\n"
    return Call(
        f"Which port does {name} configure?",
        {"path": name, "max_bytes": 4096},
        {"content": content, "truncated": False},
        f"`{name}` sets `port = {port}` in its section `[server]`.",
    )
