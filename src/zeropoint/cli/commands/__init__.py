"""One module per verb: its signature, a call of the library, and a view of the result."""
