"""Numbers, of bytes, weights and seconds with a unit, as text for terminals and pages."""


def format_bytes(count: float) -> str:
    """Return a number of bytes with a binary unit; fractions of a byte are cut off.

    >>> format_bytes(0), format_bytes(1023), format_bytes(1536), format_bytes(241_000_000)
    ('0 B', '1023 B', '1.5 KiB', '229.8 MiB')
    """
    size = float(int(count))
    if size < 1024:
        return f"{size:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1024:
            return f"{size:.1f} {unit}" if unit != "GiB" else f"{size:.2f} GiB"
    return f"{size / 1024:.2f} TiB"


def format_count(count: float) -> str:
    """Return a number of weights with a decimal unit and three digits.

    >>> format_count(268098176), format_count(1543714304), format_count(640)
    ('268 M', '1.54 G', '640')
    """
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f}"


def format_number(value: float | None, digits: int = 4) -> str:
    """Return a number with `digits` significant digits; "–" for None and NaN.

    >>> format_number(1234.5678), format_number(0.000012345), format_number(0.0)
    ('1235', '1.234 × 10⁻⁵', '0')
    """
    if value is None or value != value:
        return "–"
    mantissa, _, power = f"{value:.{digits}g}".partition("e")
    return f"{mantissa} × 10{str(int(power)).translate(SUPERSCRIPTS)}" if power else mantissa


SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def format_seconds(seconds: float) -> str:
    """Return a duration in seconds, minutes or hours.

    >>> format_seconds(0.34), format_seconds(42.2), format_seconds(200), format_seconds(7500)
    ('0.3 s', '42 s', '3 min 20 s', '2 h 5 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
