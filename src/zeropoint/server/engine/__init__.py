"""The engine process: one model that generates several texts together, step by step."""
