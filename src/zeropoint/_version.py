"""Version of the package: written here, read by the build (pyproject.toml) and by every room."""

__version__ = "0.2.0.dev0"
