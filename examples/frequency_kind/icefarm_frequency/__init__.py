"""A device kind for icefarm: the frequency of a circuit's output."""
