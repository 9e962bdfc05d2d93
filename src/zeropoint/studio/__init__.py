"""Shows saved results as one page, alone or served locally."""
