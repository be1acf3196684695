"""A device kind for icefarm: a serial console to the circuit on a board."""
