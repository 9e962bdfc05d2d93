"""The self-contained HTML report, and the parts of HTML that pages share with it."""
