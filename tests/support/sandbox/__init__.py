"""Jobs inside the sandbox of user code, and the system calls that it permits."""
