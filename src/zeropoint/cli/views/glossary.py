"""The glossary: every term that a reader of zeropoint meets, each explained in a few sentences.

`zeropoint explain WORD` prints an entry, and `docs/glossary_page.py` writes all of them to
docs/glossary.md. Terms are defined here and nowhere else.
"""

from zeropoint.cli.views.glossary_spellings import SPELLINGS as SPELLINGS

SECTIONS: dict[str, dict[str, str]] = {
    "Numbers and blocks": {
        "scale": (
            "The factor from codes to weights: w = scale · q. It is shared by a group of weights "
            "and stored with their codes. A symmetric rule sets it so that the largest |weight| "
            "gets the largest code. A search also tries other scales, because a smaller scale "
            "serves the many small weights better than the one large weight."
        ),
        "zero point": (
            "The code that means exactly 0.0: w = scale · (q − zero_point). Asymmetric integers "
            "have one, so that their codes cover the range from the smallest to the largest weight "
            "and 0 is still stored without error. It is an integer, one of the codes. Formats that "
            "store a minimum instead, like Q4_1 and Q4_K, have w = scale · q + minimum, and often "
            "no code for 0."
        ),
        "minimum": (
            "The weight that code 0 stands for: w = scale · q + minimum. It does the work of a "
            "zero point, in units of weight. Q4_1, Q2_K, Q4_K and Q5_K store one per group. In the "
            "K formats it is a small integer times a float16 of the super-block."
        ),
        "symmetric": (
            "The codes cover the same range on both sides of 0, and no zero point is stored. With "
            "4 bits they are −7 … 7, so one of 16 codes, −8, goes unused. An asymmetric format "
            "uses all 16 codes and the whole range between the smallest and the largest weight, "
            "and stores a zero point or a minimum per group for that."
        ),
        "codes": (
            "The small integers that are stored for the weights, packed without gaps: two codes of "
            "4 bits share a byte. A code alone means nothing; its scale and zero point (or a "
            "table) turn it back into a weight."
        ),
        "block": (
            "The smallest part of a row that can be decoded alone. Q4_K's block is 256 weights in "
            "144 bytes. A row must consist of whole blocks. If the length of a row is not a "
            "multiple of the block, another format with a smaller block is used for that tensor."
        ),
        "group": (
            "The weights that share one scale. A block holds one group or several: Q4_K has 8 "
            "groups of 32 weights in a block of 256. Smaller groups limit the damage of an outlier "
            "to fewer weights, and spend more bytes on scales."
        ),
        "super-block": (
            "A block of 256 weights whose groups have small integer scales that are multiplied by "
            "one float16 for the whole block. The K formats (Q2_K to Q6_K) and IQ4_XS are built "
            "this way."
        ),
        "bits per weight": (
            "8 · bytes / weights with everything included: codes, scales, minimums, and for a file "
            "also its metadata and the tensors that stay unquantized. Formats that are called "
            "4-bit have 4.25 to 5 bits per weight."
        ),
        "outlier": (
            "A weight far larger than those around it. It sets the scale of its group, so the "
            "other weights are left with few codes, or only with 0. Small groups contain the "
            "damage, a search over scales may clip the outlier, and a recipe can give more bits to "
            "the tensors that have many."
        ),
        "rounding": (
            "Each weight goes to the nearest value that can be stored; a tie goes to the even "
            "code. Inside the range of the codes, the error is at most half a step."
        ),
        "midpoint": (
            "The value halfway between two neighbouring codes, in units of weight. A weight on one "
            "side of it gets the lower code, on the other side the higher one. The middle of the "
            "whole range is something else: asymmetric formats move it with a zero point or a "
            "minimum."
        ),
        "microscaling": (
            "Small blocks whose scale is one byte. An MX block has 32 weights and a power of two "
            "(E8M0). NVFP4 has 16 weights, a scale in FP8 E4M3, and one float32 for the tensor."
        ),
        "negative zero": (
            "FP4 (E2M1) has 16 codes for 15 values, because +0 and −0 are the same weight. Formats "
            "whose name has M0 let −0 stand for another value, such as 2.5 times the scale."
        ),
        "M0_PM5": (
            "An FP4 format in which −0 means +5 or −5 times the scale. The sign bit of the scale, "
            "which is otherwise unused, selects one of the two. It costs no additional bits."
        ),
    },
    "Files and formats": {
        "quantization": (
            "Storing the weights of a model with fewer bits, as small integers or floats and the "
            "scales that turn them back. The file gets smaller and generation faster; how much "
            "worse the predictions get is what `measure` measures."
        ),
        "weight": (
            "One number of a model, also called a parameter. A 7B model has 7 billion of them, "
            "almost all in matrices that are multiplied with the activations."
        ),
        "GGUF": (
            "The file format of llama.cpp and the tools built on it: metadata, tokenizer and "
            "tensors in one file. `zeropoint inspect FILE` shows what a file holds."
        ),
        "I-quants": (
            "Formats whose codes select rows of a fixed table, such as IQ2_XXS and IQ3_S, or "
            "values of a table, such as IQ4_NL. They usually have less error than K formats of the "
            "same size, need importance (imatrix) below 3 bits, and are slower on processors."
        ),
        "reference": (
            "The model that a quant is compared with, usually the 16-bit file that it was made "
            "from. If the reference is itself quantized, losses are relative to it."
        ),
        "quant": (
            "A quantized model: its weights are stored with fewer bits than those of its reference."
        ),
        "format": (
            "The meaning of a block of bytes: how codes, scales and minimums are packed and which "
            "weights they stand for. `zeropoint explain Q4_K` describes one."
        ),
        "plain format": (
            "A textbook format without a file layout, such as INT4_SYM_G128 or NF4_G64. Its name "
            "states the type of number, the rule and the weights that share a scale. Plain formats "
            "are evaluated in memory (`measure MODEL --as INT4_SYM_G128`) and cannot be written."
        ),
        "preset": (
            "A name that stands for a format and its exceptions: Q4_K_M is Q4_K, with Q6_K for the "
            "tensors that matter most. The presets are llama.cpp's. `zeropoint explain Q4_K_M` "
            "lists the rules."
        ),
        "recipe": (
            "A text file that assigns a format to each tensor: one pattern and one format per "
            "line. The first line that matches a tensor's name decides."
        ),
        "budget": "The size that a searched recipe may reach, in bytes or in bits per weight.",
        "importance": (
            "The weight of a squared error in a column of a matrix: the mean of that input "
            "squared, on a calibration text. An encoder that is given importance minimizes "
            "Σ importance · (w − ŵ)² instead of Σ (w − ŵ)². llama.cpp calls such a file an "
            "imatrix. `zeropoint calibrate` makes one, and `quantize --imatrix` uses it."
        ),
        "calibration": (
            "Running a model over a text to collect statistics of each matrix's inputs. The result "
            "is the importance and, on request, the second moments Σ x xᵀ."
        ),
        "weighted error": (
            "Σ importance · (w − ŵ)², the error that an encoder minimizes for each block. It does "
            "not decide how good a file is; the KL divergence of the whole model does."
        ),
        "off-grid reference": (
            "A 16-bit model whose weights do not lie on the values of any format. A reference that "
            "was decoded from a quantized file lies on that file's grid, so quantizing it to the "
            "same format would lose almost nothing and the comparison would be unfair."
        ),
        "heal": (
            "Reduce the loss of a quant without adding a byte, by training scales and codes so "
            "that its distributions come closer to the reference's. zeropoint has no command for "
            "it yet; `quantize --rounding feedback` is the nearest one."
        ),
    },
    "Measuring": {
        "perplexity": (
            "exp of the mean negative log-probability that a model gives to the next token of a "
            "text. A perplexity of 8 means about as uncertain as a choice between 8 equally likely "
            "tokens. It depends on one probability per position, so changes can cancel. To "
            "compare a quant with its reference, KL divergence is more sensitive."
        ),
        "kl divergence": (
            "KL(reference ‖ quant): the distance of the quant's next-token distribution from the "
            "reference's, per token, in nats. 0 means that the distributions are equal. It is "
            "never negative, so errors cannot cancel. The mean is the loss on the whole text; the "
            "99.9th percentile shows the rare tokens at which the quant fails."
        ),
        "top-1": (
            "The share of positions at which reference and quant give the highest probability to "
            "the same next token."
        ),
        "flip": (
            "A position or a task that one model answers correctly and the other does not. Lost "
            "and won flips are counted separately, because together they can leave a score "
            "unchanged."
        ),
        "confidence interval": (
            "The range that contains the true figure in 95 % of repetitions with other text of the "
            "same kind. Chunks of text are resampled, not tokens, because the tokens of a chunk "
            "are not independent."
        ),
        "noise floor": (
            "The KL divergence between the reference and itself with matrix inputs rounded to "
            "bfloat16, as a GPU would run it. A loss below the noise floor is no evidence that the "
            "quant is worse."
        ),
        "verdict": (
            "One of INDISTINGUISHABLE, SMALL (measurable), NOTICEABLE, BROKEN and UNDECIDED. It is "
            "derived from confidence intervals by fixed rules, so it is given only if the interval "
            "supports it. UNDECIDED means that the text is too short for a "
            "verdict."
        ),
        "gate": (
            'A condition such as "kl.mean<0.05" that makes `measure` exit with status 1 unless the '
            "whole confidence interval satisfies it. Gates are meant for scripts."
        ),
        "ladder": (
            "One model at a series of levels from 16 to 2 bits, all measured on the same text "
            "against the same reference."
        ),
        "built-in text": (
            "The text that commands read without --text: prose, code, dialogue, science and"
            " languages in eight scripts, and long documents on request. Each kind has three parts"
            " that share no text: calibrate, select (for decisions) and evaluate (for reported"
            " figures). `--text builtin:KIND/PART` chooses one of them."
        ),
        "reference cache": (
            "A folder with the reference's final hidden states for a text. Every further quant "
            "that is measured with it skips the layers of the reference."
        ),
        "nats per byte": (
            "The negative log-probability of a text divided by its length in bytes. It can be "
            "compared between models that have different tokenizers."
        ),
        "run folder": (
            "The folder in which a verb keeps its settings, its per-chunk data and its result. An "
            "interrupted command continues from its run folder, and `report` makes a page of it."
        ),
    },
    "Many steps": {
        "drift": (
            "The divergence of two models that each continue from their own output. Metrics of "
            "single tokens cannot detect it, because they give both models the same context at "
            "every token. "
            "`zeropoint drift` measures it."
        ),
        "divergence step": (
            "The position of the first token at which two generated texts differ. Survival is the "
            "share of texts that are still identical after a number of tokens."
        ),
        "compounding": (
            "Errors compound if a quant's own text leads it into contexts in which it is less "
            "accurate. The compounding factor divides the KL divergence along the quant's own text "
            "by the KL divergence along the reference's text. A factor of 1 means that errors only "
            "add up."
        ),
        "chain": (
            "A task of several dependent steps, such as a sum or a series of tool calls, whose "
            "state is checked after every step. Each model works on its own earlier answers."
        ),
    },
    "Running and speed": {
        "token": (
            "A piece of text that a model reads or generates at a time: a word, a part of one, or "
            "a character. English has about 1.3 tokens for each word."
        ),
        "logits": (
            "The scores that a model gives to every token of its vocabulary for the next position. "
            "Softmax turns them into probabilities, which `measure` compares."
        ),
        "activations": (
            "The numbers that a model computes for a text, as opposed to its weights. Every matrix "
            "multiplies its weights with activations."
        ),
        "context": (
            "The tokens that a model sees when it predicts the next one, and their maximum number. "
            "A longer context needs a larger KV cache."
        ),
        "mixture of experts": (
            "A model whose feed-forward layers consist of several experts, of which each token "
            "uses a few. All experts need memory, and only those that are used take time: 30B-A3B "
            "has 30 billion weights and multiplies 3 billion for each token."
        ),
        "VRAM": (
            "The memory of a graphics card. Weights, KV cache and buffers have to fit for full "
            "speed; what does not fit is computed by the processor. `zeropoint plan MODEL --device "
            "NAME` counts it."
        ),
        "GPU generation": (
            "It decides which numbers the matrix units multiply directly. NVIDIA Ampere (RTX 30): "
            "16-bit floats and INT8. Ada (RTX 40) and Hopper (H100): also FP8. Blackwell (RTX 50, "
            "B200): also FP4, as in NVFP4 and MXFP4. Other formats are converted first, and still "
            "save memory. `zeropoint explain multiply --device rtx5090 --format NVFP4` shows a "
            "device."
        ),
        "exact mode": (
            "Arithmetic with float32 activations. The results are identical bit for bit for every "
            "number of threads, batch size and chunk size. `measure`, `calibrate` and `drift` use "
            "it, so that measurements contain no kernel noise."
        ),
        "fast mode": (
            "Arithmetic with activations that are rounded to 8 bits in groups of 32. `run` and "
            "`bench` use it, because it is faster."
        ),
        "prompt processing": (
            "Computing all tokens of a prompt together. Its speed is limited by arithmetic, and is "
            "given in tokens per second."
        ),
        "generation": (
            "Computing one new token after the other. Every token reads all weights once, so its "
            "speed is limited by the memory bandwidth."
        ),
        "KV cache": (
            "The keys and values of earlier tokens, which attention reads again for each new "
            "token. Its size grows with the context."
        ),
        "multiply": (
            "Few machines multiply 4-bit weights directly. llama.cpp on processors and most "
            "graphics cards rounds the activations to 8 bits, unpacks the codes to 8-bit integers "
            "and multiplies those; the scales are applied in float32. The gain is that fewer bytes "
            "are read, which is what limits generation. `zeropoint explain multiply --device "
            "rtx3090 --format Q4_K` shows it for a device."
        ),
    },
}

TERMS = {term: text for section in SECTIONS.values() for term, text in section.items()}


def find_term(word: str) -> tuple[str, str] | None:
    """Return a term and its explanation, or None if the glossary does not have it.

    Case, hyphens and underscores do not matter, and common other spellings are known.

    >>> [find_term(word)[0] for word in ("zero-point", "KL", "bits_per_weight")]
    ['zero point', 'kl divergence', 'bits per weight']
    """
    plain = word.strip().lower()
    for spelling in (plain, plain.replace("-", " ").replace("_", " ")):
        term = SPELLINGS.get(spelling, spelling)
        if term in TERMS:
            return term, TERMS[term]
    return None
