"""Reading bytes with bounds, and outputs that appear only when complete."""
