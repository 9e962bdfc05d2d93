"""Predicts the loss of every tensor in every format from forward passes alone, without torch.

For a matrix of a layer it is a factor times the error of its output, relative to the output, as the
mean over the tokens t:

    e = mean_t Σ_r share_r Σ_j Δw_rj² x_tj² / |W x_t|²

Each token counts the same, because a few have outputs that are a thousand times as large as those
of all others ("massive activations", arXiv:2402.17762). The factor depends on what the matrix is
for, not on the format: see FACTORS. For the output matrix the second derivative of the KL
divergence is known. With p_t the probabilities after token t and h_t the state before the matrix,
independent errors of its weights give

    KL per token ≈ ½ · mean_t Σ_v p_t(v) Σ_j Δw_vj² h_tj²  ≈  ½ · mean_t Σ_j Δw_vj² h_tj²,  v = v_t

where the text's next token v_t stands for a draw from p_t. `predicted_loss` needs a backward pass
and ranks tensors better, because it sees how much each layer matters (docs/allocation.md).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zeropoint.allocation.predicted_loss import (
    PredictedLosses,
    PredictionRecord,
    PredictionText,
    SequencesRead,
    TensorPredicted,
    choose_sequences,
    domain_weights,
    sample_tensor,
)
from zeropoint.allocation.sampled_errors import RowSample, read_rows, sampled_errors
from zeropoint.calibration import Calibration, InputSquares, find_importance
from zeropoint.calibration.chunks import Chunk
from zeropoint.calibration.run import input_shapes
from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.names import OUTPUT, TOKEN_EMBEDDING
from zeropoint.formats import F32
from zeropoint.models import LanguageModel, load_model
from zeropoint.models.base import ForwardHook
from zeropoint.plans.formats.roles import Role, role_of

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

NORM_ROWS = 64  # rows of a matrix that the norms of its outputs are estimated from
#: The loss in nats per token over the relative error of a matrix's output, by its role. Means of
#: what `predicted_loss` predicts for two models (SmolLM2 135M, Gemma 3 270M), see
#: docs/allocation.md.
FACTORS = {
    Role.QUERIES: 0.05,
    Role.KEYS: 0.08,
    Role.VALUES: 0.07,
    Role.ATTENTION_OUTPUT: 0.10,
    Role.FFN_GATE: 0.22,
    Role.FFN_UP: 0.20,
    Role.FFN_DOWN: 0.21,
    Role.OTHER: 0.10,
    Role.TOKEN_EMBEDDING: 0.30,  # as a table
}


def predict_from_outputs(
    checkpoint: Checkpoint,
    text: PredictionText,
    menu: Mapping[str, Sequence[str]],
    *,
    threads: int,
    calibration: Calibration | None = None,
) -> Iterator[PredictionRecord]:
    """Predict the mean KL divergence of each tensor of `menu` in each of its formats.

    Arguments, progress and result are those of `predict_losses`; the result has no standard errors.
    Raises UnsupportedModel for a model that the compiled engine does not run, MeasurementError for
    a text that is too short, FormatError for weights that a format cannot hold.
    """
    sequences = choose_sequences(checkpoint, text)
    weights = domain_weights(sequences, text.weights)
    inputs = InputSums(load_model(checkpoint, threads=threads))
    for count, sequence in enumerate(sequences, 1):
        inputs.read(sequence)
        yield SequencesRead(count, len(sequences))
    collected = inputs.calibration(sequences, text.corpus.hash)
    tokens = np.concatenate([sequence.tokens for sequence in sequences])
    table: dict[str, dict[str, float]] = {}
    by_domain: dict[str, dict[str, dict[str, float]]] = {name: {} for name in weights}
    total, done = sum(checkpoint.tensors[name].elements for name in menu), 0
    for name, formats in menu.items():
        info = checkpoint.tensors[name]
        importance = find_importance(calibration or collected, info, tied=checkpoint.tied_output)
        sample = sample_tensor(checkpoint, name, tokens)
        rows = read_rows(checkpoint, name, sample.rows, threads=threads)
        table[name] = {}
        for format, errors in sampled_errors(
            checkpoint, name, sample.rows, formats, importance, threads=threads
        ):
            losses = {domain: inputs.loss(domain, name, sample, rows, errors) for domain in weights}
            table[name][format] = sum(weights[domain] * losses[domain] for domain in weights)
            for domain, loss in losses.items():
                by_domain[domain].setdefault(name, {})[format] = loss
        done += info.elements
        yield TensorPredicted(name, done, total)
    yield PredictedLosses(table, {}, collected, tokens.size, by_domain)


@dataclass
class InputSums:
    """Σ x² of the inputs of every matrix by domain, and the states before the output matrix."""

    model: LanguageModel
    squares: InputSquares = field(default_factory=InputSquares)
    #: By domain and tensor: (experts or 1, columns) float64, Σ_t x_tj² / |W x_t|².
    relative: dict[str, dict[str, F64]] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)  # by domain
    #: By domain: the tokens of each sequence, (n,), and the states after them, (n, width).
    states: dict[str, list[tuple[I64, F32]]] = field(default_factory=dict)
    _rows: dict[tuple[str, int], F32] = field(default_factory=dict)

    def read(self, sequence: Chunk) -> None:
        """Run a sequence through the model."""
        shapes = input_shapes(self.model)
        for name in shapes:
            self.model.set_hook(name, self._adder(sequence.domain, name))
        try:
            states = self.model.hidden(sequence.tokens)
        finally:
            for name in shapes:
                self.model.set_hook(name, None)
        self.squares.begin(OUTPUT, 1, states.shape[-1])
        self.squares.add(OUTPUT, states, 0)
        tokens = sequence.tokens.astype(np.int64)
        self.tokens[sequence.domain] = self.tokens.get(sequence.domain, 0) + len(tokens)
        self.states.setdefault(sequence.domain, []).append((tokens, states))

    def _adder(self, domain: str, name: str) -> ForwardHook:
        shape = self.model.matrices()[name]
        size = (shape[0] if len(shape) == 3 else 1, shape[-1])
        own = self.relative.setdefault(domain, {}).setdefault(name, np.zeros(size))
        self.squares.begin(name, *size)

        def add(inputs: F32, expert: int | None) -> None:
            self.squares.add(name, inputs, expert or 0)
            squares = np.square(inputs, dtype=np.float64)
            rows = self._norm_rows(name, expert or 0)
            norms = np.square(inputs @ rows.T, dtype=np.float64).mean(axis=1) * shape[-2]
            own[expert or 0] += (squares[norms > 0] / norms[norms > 0, None]).sum(axis=0)

        return add

    def _norm_rows(self, name: str, expert: int) -> F32:
        """Return a sample of the rows of a matrix, for the norms of its outputs."""
        if (name, expert) not in self._rows:
            checkpoint = self.model.checkpoint
            count = checkpoint.tensors[name].shape[-2]
            rows = expert * count + np.arange(0, count, max(1, count // NORM_ROWS))
            self._rows[name, expert] = read_rows(checkpoint, name, rows, threads=self.model.threads)
        return self._rows[name, expert]

    def calibration(self, sequences: Sequence[Chunk], corpus: str) -> Calibration:
        """Return the importance of all domains together."""
        size = sequences[0].tokens.size
        return Calibration(self.squares.statistics(), len(sequences), size, corpus=corpus)

    def loss(self, domain: str, name: str, sample: RowSample, rows: F32, errors: F32) -> float:
        """Return the predicted loss on a domain of errors (n, columns) of sampled rows."""
        output = self.model.architecture.output
        if name not in (output, TOKEN_EMBEDDING):
            return FACTORS[role_of(name)] * self._relative_error(domain, name, sample, errors)
        loss = 0.0
        if name == output:
            loss += self._output_loss(domain, sample, errors)
        if name == TOKEN_EMBEDDING:
            loss += FACTORS[Role.TOKEN_EMBEDDING] * self._table_error(domain, sample, rows, errors)
        return loss

    def _relative_error(self, domain: str, name: str, sample: RowSample, errors: F32) -> float:
        sums = self.relative[domain][name]
        count = self.model.checkpoint.tensors[name].shape[-2]
        costs = sums[sample.rows // count] if len(sums) > 1 else sums
        by_row = (np.square(errors, dtype=np.float64) * costs).sum(axis=1)
        return float(sample.shares @ by_row) / self.tokens[domain]

    def _output_loss(self, domain: str, sample: RowSample, errors: F32) -> float:
        """Return ½ · mean_t Σ_j Δw_vj² h_tj² for the next token v of each token t."""
        terms: list[F64] = []
        for tokens, states in self.states[domain]:
            places = np.searchsorted(sample.rows, tokens[1:])
            products = np.square(errors[places] * states[:-1], dtype=np.float64)
            terms.append(products.sum(axis=1))
        return 0.5 * float(np.concatenate(terms).mean())

    def _table_error(self, domain: str, sample: RowSample, rows: F32, errors: F32) -> float:
        places = np.concatenate(
            [np.searchsorted(sample.rows, tokens) for tokens, _ in self.states[domain]]
        )
        wrong, whole = (
            float(np.square(part[places], dtype=np.float64).sum()) for part in (errors, rows)
        )
        return wrong / whole if whole > 0 else 0.0
