"""The words of quantization, each in a few sentences: what `zeropoint explain WORD` prints."""

TERMS = {
    "scale": (
        "The factor from codes to weights: w = scale · q. It is shared by a group of weights and "
        "stored beside their codes. A symmetric rule sets it so that the largest |weight| gets "
        "the largest code; a search tries others, because a smaller scale serves the many small "
        "weights better than the one large."
    ),
    "zero point": (
        "The code that means exactly 0.0: w = scale · (q − zero_point). Asymmetric integers have "
        "one, so that their codes can be stretched from the smallest to the largest weight and 0 "
        "is still stored without error. It is an integer, one of the codes. Formats that store a "
        "minimum instead, like Q4_1 and Q4_K, have w = scale · q + minimum, and often no code for "
        "0."
    ),
    "minimum": (
        "The weight that code 0 stands for: w = scale · q + minimum. It does the work of a zero "
        "point in weight units. Q4_1, Q2_K, Q4_K and Q5_K store one per group; in the K formats "
        "it is a small integer times a float16 of the block."
    ),
    "symmetric": (
        "Codes reach equally far to both sides of 0, and no zero point is stored. With 4 bits "
        "they are −7 … 7: one of 16 codes, −8, goes unused. Asymmetric uses all 16 and the whole "
        "span between smallest and largest weight, at the price of a zero point or minimum per "
        "group."
    ),
    "codes": (
        "The small integers that are stored for the weights, packed without gaps: two of 4 bits "
        "share a byte. A code alone means nothing; scale and zero point (or a table) turn it back "
        "into a weight."
    ),
    "block": (
        "The smallest part of a row that decodes alone, with everything that it needs: Q4_K's "
        "block is 256 weights in 144 bytes. Rows must be whole blocks; where a row is no "
        "multiple, another format with a smaller block stands in. The smaller the groups in it, "
        "the fewer weights an outlier can spoil, and the more bytes go into scales."
    ),
    "group": (
        "The weights that share one scale. A block holds one group or several: Q4_K has 8 groups "
        "of 32 in a block of 256."
    ),
    "bits per weight": (
        "8 · bytes / weights with everything included: codes, scales, minimums, and for a file "
        'its metadata and the tensors that stay unquantized. "4-bit" formats have 4.25 to 5.'
    ),
    "outlier": (
        "A weight far larger than those around it. It sets the scale of its group, and the others "
        "get few codes or none but 0. Small groups contain the damage; a search over scales may "
        "clip it; a few tensors get more bits."
    ),
    "rounding": (
        "Each weight goes to the nearest value that can be stored, and a tie to the even code. "
        "Inside the range the error is then at most half a step."
    ),
    "importance": (
        "What a squared error in a column of a matrix costs: the mean of that input squared, on a "
        "calibration text. An encoder that is given it minimizes Σ importance · (w − ŵ)² instead "
        "of Σ (w − ŵ)². llama.cpp calls the file an imatrix. `zeropoint calibrate` makes one, and "
        "`quantize --imatrix` uses it."
    ),
    "perplexity": (
        "exp of the mean negative log-probability that a model gives to the next token of a text: "
        "8 means about as unsure as between 8 equal choices. It sees one probability per position "
        "and is blind to changes that cancel; to compare a quant with its reference, KL "
        "divergence says more."
    ),
    "kl divergence": (
        "KL(reference ‖ quant): how far the quant's distribution of the next token is from the "
        "reference's, per token, in nats. 0 means the same distribution; it is never negative, "
        "and errors cannot cancel. The mean is the loss of the whole text; the 99.9th percentile "
        "shows the rare tokens where the quant goes wrong."
    ),
    "top-1": (
        "At how many positions reference and quant would choose the same next token. A position "
        "where they differ is a flip."
    ),
    "flip": (
        "A position, or an answer of a task, that was right or chosen by the reference and is not "
        "by the quant. Flips in both directions can leave a score unchanged, so they are counted."
    ),
    "drift": (
        "How two models part when each goes on from its own output. Metrics of single tokens "
        "reset at every token and miss it; `zeropoint drift` counts the tokens until the first "
        "difference."
    ),
    "reference": (
        "The model that a quant was made from, and is compared with. If it is itself a quant, "
        "losses are relative to it."
    ),
    "quant": ("A model whose weights are stored with fewer bits than those of its reference."),
    "recipe": (
        "Text that says which tensor gets which format: a pattern and a format a line, and the "
        "first that matches counts. A preset is such a rule set with a name, like Q4_K_M."
    ),
    "preset": (
        "A name that stands for a format and its exceptions: Q4_K_M is Q4_K with Q6_K where it "
        "matters most. `zeropoint explain Q4_K_M` lists them."
    ),
    "budget": ("The size that a searched recipe may reach, in bytes or in bits per weight."),
    "heal": (
        "Win back loss without a byte more: train scales and codes so that the quant's "
        "distributions come closer to the reference's."
    ),
    "multiply": (
        "Few machines multiply 4-bit weights as such. llama.cpp on processors and most graphics "
        "cards rounds the activations to 8 bits, unpacks the codes to 8-bit integers and "
        "multiplies those; the scales are applied in float32. The gain is in reading fewer bytes, "
        "which is what bounds generation. `zeropoint explain multiply --device rtx3090 --format "
        "Q4_K` shows it for a device."
    ),
    "microscaling": (
        "Small blocks with a scale of one byte. MX formats: 32 weights and a power of two (E8M0). "
        "NVFP4: 16 weights, a scale in FP8 E4M3 and one float32 for the tensor."
    ),
    "negative zero": (
        "FP4 has 16 codes for 15 values, because +0 and −0 are the same weight. Formats named "
        "FP4_E2M1_M0_… let −0 stand for another value, such as 2.5, ±5 or what fits best."
    ),
}

SPELLINGS = {
    "zp": "zero point",
    "zeropoint": "zero point",
    "asymmetric": "symmetric",
    "code": "codes",
    "blocks": "block",
    "bpw": "bits per weight",
    "outliers": "outlier",
    "imatrix": "importance",
    "ppl": "perplexity",
    "kl": "kl divergence",
    "kld": "kl divergence",
    "top1": "top-1",
    "flips": "flip",
    "presets": "preset",
    "mx": "microscaling",
    "e8m0": "microscaling",
    "-0": "negative zero",
    "−0": "negative zero",
}


def find_term(word: str) -> tuple[str, str] | None:
    """Return a term and its explanation, however it is spelled.

    >>> [find_term(word)[0] for word in ("zero-point", "KL", "bits_per_weight")]
    ['zero point', 'kl divergence', 'bits per weight']
    """
    plain = word.strip().lower()
    for spelling in (plain, plain.replace("-", " ").replace("_", " ")):
        term = SPELLINGS.get(spelling, spelling)
        if term in TERMS:
            return term, TERMS[term]
    return None
