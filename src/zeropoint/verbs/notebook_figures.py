"""Registers the report's figures for results in notebooks. Importing any verb imports this."""

from zeropoint.results.html import load_figures_with


def _load_figures() -> None:
    from zeropoint.studio.report import notebook

    notebook.register()


load_figures_with(_load_figures)
