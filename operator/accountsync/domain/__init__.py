"""The judgement: pure functions over plain data. No clock, no network, no Kubernetes."""
