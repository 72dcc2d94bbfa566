"""From a viewer's traffic to a provider or a redacted bundle."""
