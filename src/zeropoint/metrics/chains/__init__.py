"""Problems of many dependent steps, on which a single error is visible in the answer."""
