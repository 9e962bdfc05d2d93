"""How far a quantized model's next-token distributions are from the reference's."""
