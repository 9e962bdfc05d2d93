"""Which formats of a 14B model fit a card of 12 GiB with 16k tokens of context, and how fast?"""

import zeropoint as zp

FORMATS = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M")
GIB = 2**30

# A model is a size, a file, a folder, a config.json or a hub id.
plan = zp.plan("14B", device="rtx3060-12gb", context="16k", kv="q8_0", to=FORMATS, runs=[])

card = plan.results[0].device
print(f"{plan.models[0].shape.name} on {card.name}, {card.usable_bytes / GIB:.1f} GiB usable")
for row in sorted(plan.results, key=lambda row: -row.memory.total_bytes):
    memory, speed = row.memory, row.generation
    print(
        f"{row.format:7} {memory.weights_bytes / GIB:5.2f} + {memory.kv_bytes / GIB:.2f} + "
        f"{memory.compute_bytes / GIB:.2f} = {memory.total_bytes / GIB:5.2f} GiB   "
        + (
            f"{speed.low:.0f} to {speed.high:.0f} tokens/s"
            if row.fits and speed
            else "does not fit"
        )
    )
