"""The fire drill: the real cycle and the real metrics over accounts made up here. No network, no keys, no wall time."""
