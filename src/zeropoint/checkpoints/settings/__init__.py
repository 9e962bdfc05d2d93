"""The settings of a model: which keys of config.json and GGUF are used, refused or harmless."""
