"""The server: an HTTP process with the APIs of OpenAI and llama.cpp, and one engine process."""

__all__: list[str] = []
