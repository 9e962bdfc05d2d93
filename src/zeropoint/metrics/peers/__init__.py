"""File formats and programs of llama.cpp and lm-evaluation-harness."""
