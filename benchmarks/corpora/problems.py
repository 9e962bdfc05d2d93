"""Problems of arithmetic and science with worked solutions; every number is computed."""

import math
from collections.abc import Callable
from fractions import Fraction
from random import Random

Problem = Callable[[Random], str]
NAMES = (
    "Amara Bilal Chiara Dmitri Elif Farah Goran Hana Ivo Jamila Kofi Leila Mateo Noor Olga Pilar"
    " Quentin Rosa Sanjay Tomasz Uma Viktor Wanjiru Ximena Yusuf Zofia"
).split()
ELEMENTS = {  # standard atomic weights, rounded
    "H": 1.008, "C": 12.011, "N": 14.007, "O": 15.999, "Na": 22.990, "Mg": 24.305, "Al": 26.982,
    "S": 32.06, "Cl": 35.45, "K": 39.098, "Ca": 40.078, "Fe": 55.845, "Cu": 63.546, "Ag": 107.87,
}  # fmt: skip
COMPOUNDS = (
    "water H2 O1;carbon dioxide C1 O2;ammonia N1 H3;methane C1 H4;glucose C6 H12 O6;"
    "ethanol C2 H6 O1;table salt Na1 Cl1;calcium carbonate Ca1 C1 O3;sulfuric acid H2 S1 O4;"
    "silver nitrate Ag1 N1 O3;"
    "copper sulfate Cu1 S1 O4;iron(III) oxide Fe2 O3;urea C1 H4 N2 O1;baking soda Na1 H1 C1 O3;"
    "potassium chloride K1 Cl1;magnesium oxide Mg1 O1;aluminium oxide Al2 O3;acetic acid C2 H4 O2;"
    "caffeine C8 H10 N4 O2;aspirin C9 H8 O4;sucrose C12 H22 O11;nitric acid H1 N1 O3"
).split(";")


def product(rng: Random) -> str:
    a, b = rng.randint(112, 9899), rng.randint(13, 989)
    rows = [(digit, place) for place, digit in enumerate(map(int, str(b)[::-1])) if digit]
    steps = "\n".join(f"  {a} × {d * 10**p} = {a * d * 10**p}" for d, p in rows)
    total = " + ".join(str(a * d * 10**p) for d, p in rows)
    return f"{a} × {b}\n{steps}\n  {total} = {a * b}"


def division(rng: Random) -> str:
    b = rng.randint(7, 97)
    a = rng.randint(1000, 999999)
    steps, rest = [], 0
    for digit in str(a):
        value = rest * 10 + int(digit)
        if value >= b or steps:
            steps.append(f"  {value} ÷ {b} = {value // b}, remainder {value % b}")
        rest = value % b
    return f"Divide {a} by {b}.\n" + "\n".join(steps) + f"\n{a} = {b} · {a // b} + {a % b}."


def fractions(rng: Random) -> str:
    x, y = (Fraction(rng.randint(1, 29), rng.randint(2, 30)) for _ in "ab")
    sign = rng.choice("+−·÷")
    z = {"+": x + y, "−": x - y, "·": x * y, "÷": x / y}[sign]
    if sign in "+−":
        d = math.lcm(x.denominator, y.denominator)
        p, q = (f.numerator * d // f.denominator for f in (x, y))
        middle = f"{p}/{d} {sign} {q}/{d} = {p + q if sign == '+' else p - q}/{d}"
    elif sign == "·":
        middle = f"({x.numerator}·{y.numerator})/({x.denominator}·{y.denominator})"
    else:
        middle = f"{x} · {1 / y}"
    return f"{x} {sign} {y} = {middle} = {z} ≈ {float(z):.4f}"


def euclid(rng: Random) -> str:
    g = rng.randint(2, 60)
    a, b = g * rng.randint(20, 400), g * rng.randint(11, 200)
    start, lines = (a, b), []
    while b:
        lines.append(f"{a} = {a // b} · {b} + {a % b}")
        a, b = b, a % b
    least = start[0] * start[1] // a
    return (
        f"gcd({start[0]}, {start[1]}) by Euclid's algorithm:\n" + "\n".join(lines)
        + f"\nso the gcd is {a} and the lcm is {start[0]} · {start[1]} / {a} = {least}."
    )  # fmt: skip


def factors(rng: Random) -> str:
    n = rng.randint(300, 200000)
    found, rest, p = [], n, 2
    while p * p <= rest:
        while rest % p == 0:
            found.append(p)
            rest //= p
        p += 1
    found += [rest] if rest > 1 else []
    shown = " · ".join(
        f"{p}^{found.count(p)}" if found.count(p) > 1 else str(p) for p in sorted(set(found))
    )
    count = math.prod(found.count(p) + 1 for p in set(found))
    return f"Prime factors of {n}: {shown}. It has {count} divisors."


def linear(rng: Random) -> str:
    x, a, c = rng.randint(-20, 40), rng.randint(3, 19), rng.randint(1, 9)
    while c == a:
        c = rng.randint(1, 9)
    b = rng.randint(-60, 60)
    d = a * x + b - c * x
    return (
        f"Solve {a}x {b:+d} = {c}x {d:+d}.\n{a - c}x = {d - b}, because {a} − {c} = {a - c} and"
        f" {d} − ({b}) = {d - b}.\nx = {x}. Check: {a * x + b} = {c * x + d}."
    )


def quadratic(rng: Random) -> str:
    p, q, a = rng.randint(-15, 15), rng.randint(-15, 15), rng.choice((1, 1, 2, 3))
    b, c = -a * (p + q), a * p * q
    disc = b * b - 4 * a * c
    lead = "" if a == 1 else a
    return (
        f"{lead}x² {b:+d}x {c:+d} = 0\ndiscriminant: ({b})² − 4·{a}·({c}) = {disc}, whose root is"
        f" {math.isqrt(disc)}\nx₁ = {max(p, q)}, x₂ = {min(p, q)};"
        f" the sum is {p + q}, the product {p * q}"
    )


def system(rng: Random) -> str:
    x, y = rng.randint(-9, 15), rng.randint(-9, 15)
    while True:
        a, b, c, d = (rng.randint(1, 9) for _ in "abcd")
        if a * d != b * c:
            break
    e, f, det = a * x + b * y, c * x + d * y, a * d - b * c
    return (
        f"{a}x + {b}y = {e} and {c}x + {d}y = {f}. The determinant is {a}·{d} − {b}·{c} = {det};"
        f" x = ({e}·{d} − {b}·{f})/{det} = {x}, y = ({a}·{f} − {e}·{c})/{det} = {y}."
    )


def percent(rng: Random) -> str:
    who, price, off, tax = (
        rng.choice(NAMES),
        rng.randint(20, 900),
        rng.randint(5, 45),
        rng.choice((5, 7, 10, 19, 20, 21)),
    )
    cut = price * (100 - off) / 100
    thing = rng.choice(
        "a coat;a bicycle;a lamp;two chairs;a printer;a tent;a guitar;a desk".split(";")
    )
    return (
        f"{who} sees {thing} for {price} euros, reduced by {off} %, with {tax} % tax added."
        f" After the reduction: {price} · {(100 - off) / 100:.2f} = {cut:.2f}."
        f" With tax: {cut:.2f} · {1 + tax / 100:.2f} = {cut * (1 + tax / 100):.2f} euros."
    )


def interest(rng: Random) -> str:
    p, r, n = rng.randint(5, 200) * 100, rng.randint(4, 60) / 10, rng.randint(3, 8)
    rows = "\n".join(f"  year {k}: {p * (1 + r / 100) ** k:.2f}" for k in range(1, n + 1))
    return f"{p} at {r} % compound interest:\n{rows}\nGain: {p * (1 + r / 100) ** n - p:.2f}."


def bases(rng: Random) -> str:
    n = rng.randint(40, 65535)
    return f"{n} is {n:b} in binary, {n:o} in octal and {n:x} in hexadecimal; {n} mod 7 is {n % 7}."


def sequence(rng: Random) -> str:
    a, d, n = rng.randint(-20, 60), rng.randint(2, 25), rng.randint(12, 80)
    last = a + (n - 1) * d
    shown = ", ".join(str(a + k * d) for k in range(5))
    return (
        f"{shown}, … : term {n} is {a} + {n - 1}·{d} = {last}; the sum of {n} terms is"
        f" {n}·({a} + {last})/2 = {n * (a + last) // 2}."
    )


def statistics(rng: Random) -> str:
    data = [rng.randint(3, 99) for _ in range(rng.randint(5, 9))]
    mean, n = sum(data) / len(data), len(data)
    variance = sum((x - mean) ** 2 for x in data) / (n - 1)
    order = sorted(data)
    middle = (order[(n - 1) // 2] + order[n // 2]) / 2
    return (
        f"Data: {', '.join(map(str, data))}. Sum {sum(data)}, mean {mean:.3f}, median {middle:g},"
        f" range {max(data) - min(data)}, sample variance {variance:.3f},"
        f" standard deviation {math.sqrt(variance):.3f}."
    )


def derivative(rng: Random) -> str:
    terms = [
        (rng.randint(2, 12) * rng.choice((1, -1)), k)
        for k in sorted(rng.sample(range(1, 8), 3))[::-1]
    ]
    shown = " ".join(f"{c:+d}x^{k}" for c, k in terms).lstrip("+")
    slope = " ".join(f"{c * k:+d}x^{k - 1}" for c, k in terms).lstrip("+")
    x = rng.randint(-3, 4)
    value, rise = sum(c * x**k for c, k in terms), sum(c * k * x ** (k - 1) for c, k in terms)
    return f"f(x) = {shown} has f'(x) = {slope}; f({x}) = {value} and f'({x}) = {rise}."


def matrix(rng: Random) -> str:
    a, b = ([[rng.randint(-9, 9) for _ in "xy"] for _ in "xy"] for _ in "AB")
    c = [[sum(a[i][k] * b[k][j] for k in (0, 1)) for j in (0, 1)] for i in (0, 1)]
    det = a[0][0] * a[1][1] - a[0][1] * a[1][0]
    return f"A = {a}, B = {b}\nAB = {c}\ndet A = {det}, trace A = {a[0][0] + a[1][1]}"


def free_fall(rng: Random) -> str:
    h = rng.randint(3, 320)
    t = math.sqrt(2 * h / 9.81)
    thing = rng.choice("stone;coin;ball;apple;hammer;flower pot".split(";"))
    return (
        f"A {thing} falls {h} m from rest. t = √(2h/g) = √({2 * h}/9.81) = {t:.2f} s,"
        f" and v = gt = {9.81 * t:.1f} m/s = {9.81 * t * 3.6:.0f} km/h, without air resistance."
    )


def circuit(rng: Random) -> str:
    r1, r2, u = rng.randint(2, 90) * 5, rng.randint(2, 90) * 5, rng.choice((3, 5, 9, 12, 24, 48))
    series, parallel = r1 + r2, r1 * r2 / (r1 + r2)
    return (
        f"Resistors of {r1} Ω and {r2} Ω at {u} V: in series {series} Ω and"
        f" {u / series * 1000:.1f} mA; in parallel {parallel:.1f} Ω and"
        f" {u / parallel * 1000:.1f} mA ({u * u / parallel:.2f} W)."
    )


def gas(rng: Random) -> str:
    n, t, v = rng.randint(2, 80) / 10, rng.randint(-20, 180), rng.randint(2, 90)
    k = t + 273.15
    return (
        f"{n} mol of an ideal gas at {t} °C ({k} K) in {v} L: p = nRT/V ="
        f" {n}·8.314·{k}/{v / 1000} = {n * 8.314 * k / (v / 1000) / 1000:.1f} kPa."
    )


def molar(rng: Random) -> str:
    words = rng.choice(COMPOUNDS).split()
    atoms = [w for w in words if any(c.isdigit() for c in w) and "(" not in w]
    name = [w for w in words if w not in atoms]
    parts = [
        (a.rstrip("0123456789"), int(a.lstrip("".join(set(a) - set("0123456789"))))) for a in atoms
    ]
    mass = sum(ELEMENTS[e] * n for e, n in parts)
    grams = rng.randint(2, 400)
    formula = "".join(e + (str(n) if n > 1 else "") for e, n in parts)
    shown = " + ".join(f"{n}·{ELEMENTS[e]}" for e, n in parts)
    return (
        f"Molar mass of {' '.join(name)} ({formula}): {shown} = {mass:.2f} g/mol."
        f" {grams} g are {grams}/{mass:.2f} = {grams / mass:.3f} mol,"
        f" or {grams / mass * 6.022e23:.3e} formula units."
    )


def decay(rng: Random) -> str:
    half, n = rng.randint(2, 60), rng.randint(50, 900)
    unit = rng.choice(("days", "hours", "minutes", "years"))
    t = rng.randint(1, 5 * half)
    left = n * 0.5 ** (t / half)
    return (
        f"Half-life {half} {unit}, {n} mg at first. After {t} {unit}:"
        f" {n}·2^(−{t}/{half}) = {left:.2f} mg;"
        f" λ = ln 2/{half} = {math.log(2) / half:.5f} per {unit[:-1]}."
    )


def probability(rng: Random) -> str:
    red, blue = rng.randint(3, 15), rng.randint(3, 15)
    total = red + blue
    both = Fraction(red * (red - 1), total * (total - 1))
    one = Fraction(2 * red * blue, total * (total - 1))
    return (
        f"An urn has {red} red and {blue} blue balls; two are drawn. P(both red) ="
        f" {red}/{total} · {red - 1}/{total - 1} = {both};"
        f" P(one of each) = {one} ≈ {float(one):.3f}."
    )


def counting(rng: Random) -> str:
    n = rng.randint(6, 30)
    k = rng.randint(2, min(7, n - 2))
    return (
        f"C({n}, {k}) = {n}!/({k}!·{n - k}!) = {math.comb(n, k)}; with order, P({n}, {k}) ="
        f" {math.perm(n, k)}."
    )


def triangle(rng: Random) -> str:
    a, b, c = sorted(rng.randint(4, 60) for _ in "abc")
    c = min(c, a + b - 1)
    s = (a + b + c) / 2
    area = math.sqrt(max(s * (s - a) * (s - b) * (s - c), 0))
    angle = math.degrees(math.acos((a * a + b * b - c * c) / (2 * a * b)))
    return (
        f"Triangle with sides {a}, {b}, {c}: s = {s:g}, area √(s(s−a)(s−b)(s−c)) = {area:.2f},"
        f" and cos γ = ({a}² + {b}² − {c}²)/(2·{a}·{b}), so γ = {angle:.1f}°."
    )


def speed(rng: Random) -> str:
    first, second = rng.sample(NAMES, 2)
    v, w, d = rng.randint(8, 35), rng.randint(8, 35), rng.randint(15, 240)
    minutes = d / (v + w) * 60
    return (
        f"{first} and {second} start {d} km apart and cycle towards each other at {v} and {w} km/h."
        f" Together they close {v + w} km/h and meet after {d}/{v + w} h = {minutes:.0f} minutes,"
        f" {v * minutes / 60:.1f} km from {first}'s start."
    )


def heat(rng: Random) -> str:
    m, t1, t2 = rng.randint(1, 60) / 10, rng.randint(2, 30), rng.randint(40, 99)
    q = m * 4.186 * (t2 - t1)
    p = rng.choice((0.8, 1.2, 1.5, 2.0, 2.4))
    return (
        f"Heating {m} kg of water from {t1} to {t2} °C takes {m}·4.186·{t2 - t1} = {q:.0f} kJ;"
        f" a {p} kW kettle needs {q / p:.0f} s."
    )


def modular(rng: Random) -> str:
    a, e, m = rng.randint(2, 40), rng.randint(5, 40), rng.randint(11, 97)
    lines, value, base, bits = [], 1, a % m, e
    while bits:
        if bits & 1:
            value = value * base % m
        lines.append(f"{base}" + ("*" if bits & 1 else ""))
        base, bits = base * base % m, bits >> 1
    squares = ", ".join(lines)
    return f"{a}^{e} mod {m}: {e} = {e:b}₂, squares {squares} (marked ones multiply) → {value}"


PROBLEMS: tuple[Problem, ...] = (
    product, division, fractions, euclid, factors, linear, quadratic, system, percent, interest,
    bases, sequence, statistics, derivative, matrix, free_fall, circuit, gas, molar, decay,
    probability, counting, triangle, speed, heat, modular,
)  # fmt: skip


def problems(seed: int, count: int) -> list[str]:
    """Return so many problems, all kinds in turn; the same seed gives the same problems."""
    rng = Random(seed)
    return [PROBLEMS[index % len(PROBLEMS)](rng) for index in range(count)]
