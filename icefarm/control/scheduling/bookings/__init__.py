"""Pure decisions about boards that are booked for a time.  The head of ``calendar`` explains them."""
