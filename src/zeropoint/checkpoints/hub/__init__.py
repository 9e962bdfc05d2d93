"""Models by name: files of the Hugging Face hub, and the demo's model."""
