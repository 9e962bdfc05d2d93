"""The verb plan: which models and formats fit a device, ranked."""
