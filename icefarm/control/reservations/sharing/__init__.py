"""Use by accounts, and boards that change hands.  Look here when a client is asked to give a board back."""
