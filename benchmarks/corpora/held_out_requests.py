"""Requests for the tools of the parts that are held out: select and evaluate."""

import base64
import calendar
import colorsys
import difflib
import math
import urllib.parse
import uuid
import zlib
from fractions import Fraction
from random import Random

from corpora.tool_requests import PEOPLE, PLACES, WORDS, Call, some_day


def month_calendar(rng: Random) -> Call:
    day = some_day(rng)
    first, count = calendar.monthrange(day.year, day.month)
    name, weekday = calendar.month_name[day.month], calendar.day_name[first]
    ask = rng.choice(
        (
            f"On which weekday did {name} {day.year} begin?",
            f"I'm planning a rota for {name} {day.year}. How many days, and what weekday is the 1st?",
        )
    )
    return Call(
        ask,
        {"year": day.year, "month": day.month},
        {"first_weekday": weekday, "days": count},
        f"{name} {day.year} has {count} days, and the 1st is a {weekday}.",
    )


def parse_link(rng: Random) -> Call:
    link = f"https://{rng.choice(WORDS)}.example.org:{rng.choice((443, 8080, 8443))}/{rng.choice(WORDS)}/{rng.choice(WORDS)}?page={rng.randint(1, 40)}&sort={rng.choice(WORDS)}#{rng.choice(WORDS)}"
    parts = urllib.parse.urlsplit(link)
    query = dict(urllib.parse.parse_qsl(parts.query))
    return Call(
        f"Take this link apart for me: {link}",
        {"url": link},
        {
            "host": parts.hostname,
            "port": parts.port,
            "path": parts.path,
            "query": query,
            "fragment": parts.fragment,
        },
        f"The host is {parts.hostname} on port {parts.port}, the path {parts.path}, and the query asks for page {query['page']} sorted by {query['sort']}.",
    )


def stock_level(rng: Random) -> Call:
    item, n, low = rng.choice(WORDS), rng.randint(0, 60), rng.randint(5, 30)
    shelf = f"{rng.choice('ABCDE')}{rng.randint(1, 20)}"
    advice = "should be ordered again" if n < low else "is still in good supply"
    return Call(
        rng.choice(
            (f"Do we have enough of the {item} series left?", f"Check the stock of {item}, please.")
        ),
        {"sku": item},
        {"sku": item, "on_hand": n, "reorder_level": low, "shelf": shelf},
        f"There are {n} on shelf {shelf} and the reorder level is {low}, so it {advice}.",
    )


def simplify(rng: Random) -> Call:
    a, b = rng.randint(6, 400), rng.randint(6, 400)
    f = Fraction(a, b)
    return Call(
        f"Reduce {a}/{b} to lowest terms.",
        {"numerator": a, "denominator": b},
        {"numerator": f.numerator, "denominator": f.denominator, "decimal": round(a / b, 6)},
        f"{a}/{b} = {f}, which is about {a / b:.4f}.",
    )


def spelling(rng: Random) -> Call:
    word = rng.choice(WORDS)
    at = rng.randrange(1, len(word) - 1)
    wrong = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    found = difflib.get_close_matches(wrong, WORDS, 3)
    return Call(
        f'Is "{wrong}" spelled right?',
        {"word": wrong},
        {"known": wrong in WORDS, "suggestions": found},
        f'Probably not; the closest word is "{(found or [word])[0]}".',
    )


def distance(rng: Random) -> Call:
    x = [round(rng.uniform(-60, 60), 2), round(rng.uniform(-170, 170), 2)]
    y = [round(rng.uniform(-60, 60), 2), round(rng.uniform(-170, 170), 2)]
    a, b, c, d = map(math.radians, (*x, *y))
    h = math.sin((c - a) / 2) ** 2 + math.cos(a) * math.cos(c) * math.sin((d - b) / 2) ** 2
    km = 2 * 6371 * math.asin(math.sqrt(h))
    return Call(
        f"How far is it from {x[0]}, {x[1]} to {y[0]}, {y[1]} as the crow flies?",
        {"origin": x, "destination": y},
        {"kilometres": round(km, 1)},
        f"About {km:.0f} km along the great circle.",
    )


def to_color(rng: Random) -> Call:
    r, g, b = (rng.randrange(256) for _ in "rgb")
    h, s, v = colorsys.rgb_to_hsv(r / 255, g / 255, b / 255)
    result = {"hue": round(h * 360), "saturation": round(s * 100), "value": round(v * 100)}
    return Call(
        rng.choice(
            (
                f"What is #{r:02x}{g:02x}{b:02x} in HSV?",
                f"Convert the colour rgb({r}, {g}, {b}) to hue, saturation and value.",
            )
        ),
        {"red": r, "green": g, "blue": b},
        result,
        f"It has a hue of {result['hue']}°, {result['saturation']} % saturation and {result['value']} % value.",
    )


def decode(rng: Random) -> Call:
    word = "-".join(rng.sample(WORDS, 3))
    coded = base64.b64encode(word.encode()).decode()
    return Call(
        rng.choice(
            (f"Somebody sent me {coded}. What does it say?", f"Decode this base64: {coded}")
        ),
        {"data": coded, "direction": "decode"},
        {"text": word},
        f'It says "{word}".',
    )


def room_booking(rng: Random) -> Call:
    who, room, hour, day = (
        rng.choice(PEOPLE),
        rng.choice(WORDS).title(),
        rng.randint(8, 16),
        some_day(rng),
    )
    seats = rng.randint(3, 14)
    return Call(
        f"Book the {room} room for {seats} people on {day} at {hour}:00, under {who}'s name.",
        {
            "room": room,
            "date": str(day),
            "start": f"{hour:02}:00",
            "minutes": 60,
            "attendees": seats,
            "organizer": who,
        },
        {"booking": f"B{rng.randint(1000, 9999)}", "confirmed": True},
        f"Done: the {room} room is {who}'s on {day} from {hour}:00 to {hour + 1}:00.",
    )


def check_sum(rng: Random) -> Call:
    name = f"{rng.choice(WORDS)}.{rng.choice(('csv', 'iso', 'tar', 'png'))}"
    value = f"{zlib.crc32(name.encode()):08x}"
    good = rng.random() < 0.6
    other = value if good else f"{zlib.crc32(name[::-1].encode()):08x}"
    return Call(
        f"The page lists the CRC {other} for {name}. Is my download intact?",
        {"path": f"Downloads/{name}"},
        {"crc32": value, "bytes": rng.randint(10**4, 10**8)},
        f"{'Yes' if good else 'No'}: your file has the CRC {value}"
        + ("." if good else f", not {other}. Download it again."),
    )


def departures(rng: Random) -> Call:
    a, b = rng.sample(PLACES, 2)
    trains = [
        {
            "line": f"{rng.choice(('IC', 'RE', 'S'))}{rng.randint(1, 90)}",
            "departs": f"{rng.randint(6, 22):02}:{rng.randrange(60):02}",
            "platform": rng.randint(1, 14),
            "delay": rng.choice((0, 0, 0, 3, 7, 12)),
        }
        for _ in range(3)
    ]
    trains.sort(key=lambda train: str(train["departs"]))
    t = trains[0]
    late = f" It is {t['delay']} minutes late." if t["delay"] else " It is on time."
    return Call(
        f"When does the next train leave {a} for {b}?",
        {"station": a, "towards": b},
        trains,
        f"{t['line']} leaves {a} at {t['departs']} from platform {t['platform']}.{late}",
    )


def new_id(rng: Random) -> Call:
    name = f"{rng.choice(WORDS)}.example.net"
    value = str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
    return Call(
        f"I need a stable UUID for {name}.",
        {"namespace": "dns", "name": name},
        value,
        f"Use {value}: version 5, made from the name, so you'll get the same one each time.",
    )
