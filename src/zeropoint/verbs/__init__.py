"""Each verb of the command line as a function: models and options in, a typed result out."""
