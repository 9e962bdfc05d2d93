"""Pages that show results: the self-contained report and the local web app."""
