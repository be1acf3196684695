"""Pure: no I/O, no clock.  Boards that are booked for a period; ``calendar`` explains them.  Look here for bookings."""
