"""Pure: no I/O, no clock.  Boards that are booked for a time; the head of ``calendar`` explains them."""
