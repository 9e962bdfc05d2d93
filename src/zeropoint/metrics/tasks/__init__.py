"""Task files: questions with known answers, asked of several models."""
