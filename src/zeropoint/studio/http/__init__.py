"""The studio's server: routes, access guard, timeouts, jobs and the model's worker process."""
