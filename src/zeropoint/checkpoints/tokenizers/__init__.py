"""Tokenizers and chat templates of Hugging Face folders, as keys of a GGUF file."""
