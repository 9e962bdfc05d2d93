"""The data of pages, without HTML."""
