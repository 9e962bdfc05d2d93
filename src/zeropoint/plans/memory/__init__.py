"""How many bytes a model needs: weights, KV cache and buffers, on one device or several."""
