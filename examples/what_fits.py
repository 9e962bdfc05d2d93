"""Which formats of a 14B model fit a card of 12 GiB with 16k tokens of context, and how fast?"""

from zeropoint.plans.machines.machines import GIB, find_device
from zeropoint.plans.memory.bytes_read import traffic
from zeropoint.plans.memory.memory import Demand, running
from zeropoint.plans.planner.model_spec import describe, requantized
from zeropoint.plans.speed.speed import costs_of, estimate, generation_features

CARD = find_device("rtx3060-12gb")
DEMAND = Demand(context=16384, keys="Q8_0", values="Q8_0")
MODEL, _ = describe("14B")  # or a file, a folder, a config.json, org/name

print(f"{MODEL.shape.name} on {CARD.name}, {CARD.usable_bytes / GIB:.1f} GiB usable")
for format in ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M"):
    tensors = list(requantized(MODEL, format).tensors.values())
    memory = running(MODEL.shape, tensors, DEMAND)
    step = traffic(MODEL.shape, tensors, DEMAND, past=512)
    speed = estimate(costs_of(CARD), generation_features(step), 1)
    fits = memory.total_bytes <= CARD.usable_bytes
    print(
        f"{format:7} {memory.weights_bytes / GIB:5.2f} + {memory.kv_bytes / GIB:.2f} + "
        f"{memory.compute_bytes / GIB:.2f} = {memory.total_bytes / GIB:5.2f} GiB   "
        + (f"{speed.low:.0f} to {speed.high:.0f} tokens/s" if fits else "does not fit")
    )
