"""Each verb of the command line as a function: models and options in, a typed result out."""

from zeropoint.results.html import load_figures_with


def _load_figures() -> None:
    from zeropoint.studio.report import notebook

    notebook.register()


load_figures_with(_load_figures)
