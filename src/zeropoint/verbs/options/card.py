"""Options of `card`."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CardOptions:
    """Facts for the model card that a file does not state, and whether outputs are replaced."""

    #: Hub id org/name of the 16-bit model; None: what the file states, if it does.
    base_model: str | None = None
    #: License of the model as the hub names it, such as "apache-2.0"; None: what the file states.
    license: str | None = None
    #: Name of the person or organization that quantized the model; None: what the file states.
    quantized_by: str | None = None
    #: Replace a card and pictures that exist.
    overwrite: bool = False
