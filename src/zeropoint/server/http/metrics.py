"""The counters of a server in Prometheus's text format."""

from collections.abc import Mapping
from typing import Any

from zeropoint.server.http.engine_client import EngineClient

_HELP = {
    "prompt_tokens_total": "Prompt tokens that were processed, without cached ones.",
    "prompt_seconds_total": "Seconds of prompt processing.",
    "cached_tokens_total": "Prompt tokens that were found in a cache.",
    "tokens_predicted_total": "Tokens that were generated.",
    "tokens_predicted_seconds_total": "Seconds of generation steps, each for all slots.",
    "n_decode_total": "Generation steps.",
    "tokens_drafted_total": "Tokens that were guessed before they were generated.",
    "tokens_accepted_total": "Guessed tokens that were right.",
    "busy_slots_total": "Texts in all generation steps together.",
    "requests_total": "Texts that were requested.",
    "requests_cancelled_total": "Texts whose client disconnected.",
}


def metrics_text(state: Mapping[str, Any], client: EngineClient) -> str:
    """Return the metrics of an engine's state and of the HTTP process."""
    counts = state["counts"]
    busy = counts["busy_slots_total"] / max(counts["n_decode_total"], 1)
    gauges = {
        "n_busy_slots_per_decode": ("Texts in a generation step, on average.", busy),
        "requests_processing": (
            "Texts in a slot.",
            sum(slot["is_processing"] for slot in state["slots"]),
        ),
        "requests_deferred": ("Texts that wait for a slot.", state["waiting"]),
        "idle_caches": ("Caches of finished texts.", state["idle_caches"]),
        "idle_cache_bytes": ("Bytes of the caches of finished texts.", state["idle_cache_bytes"]),
        "slots": ("Texts that are generated at a time, at most.", len(state["slots"])),
    }
    counters = {name: (text, counts[name]) for name, text in _HELP.items()}
    counters |= {
        "requests_refused_total": ("Requests that found the queue full.", client.refused),
        "engine_restarts_total": ("Restarts of the engine after a crash.", client.restarts),
    }
    lines = []
    for kind, metrics in (("counter", counters), ("gauge", gauges)):
        for name, (text, value) in metrics.items():
            lines += [
                f"# HELP zeropoint:{name} {text}",
                f"# TYPE zeropoint:{name} {kind}",
                f"zeropoint:{name} {value}",
            ]
    return "\n".join(lines) + "\n"
