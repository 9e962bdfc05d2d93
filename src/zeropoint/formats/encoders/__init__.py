"""How the best codes and scales of a block are searched."""
