"""Task files: questions with known answers, for the evaluation of several models."""
