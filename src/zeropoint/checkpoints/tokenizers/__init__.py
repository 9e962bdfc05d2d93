"""Converts tokenizers and chat templates between Hugging Face folders and GGUF keys."""
