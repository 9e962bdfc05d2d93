"""The HTTP process: routes, access guard, request fields and streams; it imports no numpy."""
