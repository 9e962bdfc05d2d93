"""The language server: inline completions for editors, over stdin and stdout."""
