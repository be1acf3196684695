"""Pure: no I/O, no clock.  Decisions about boards that are booked for a time; the head of ``calendar`` explains them."""
