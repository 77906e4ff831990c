"""The figures of the report: curves, pairs, ROC, principal directions, class activations."""
