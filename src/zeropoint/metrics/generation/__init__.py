"""Where the generated texts of two models diverge, and whether errors compound."""
