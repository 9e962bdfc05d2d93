"""What a quantized model's flips mean for its user: of 100 answers, how many change."""

import math

from zeropoint.results.interval import Interval


def describe_consequence(changed: Interval, lost: Interval) -> str:
    """Return the practical consequence as one sentence.

    `changed` is the share of tasks whose answer is another text, and `lost` the share that only the
    baseline answers rightly. The ends of the 95 % intervals are rounded outwards.

    >>> describe_consequence(Interval(0.06, 0.031, 0.089), Interval(0.02, 0.011, 0.039))
    'Of 100 answers like these, 3 to 9 change and 1 to 4 become wrong.'
    """
    return f"Of 100 answers like these, {_range(changed)} change and {_range(lost)} become wrong."


def _range(share: Interval) -> str:
    if share.ends is None:
        return "an unknown number"
    low, high = (100 * end for end in share.ends)
    first, last = math.floor(low + 1e-9), math.ceil(high - 1e-9)
    return str(first) if first == last else f"{first} to {last}"
