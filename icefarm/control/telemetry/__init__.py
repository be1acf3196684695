"""What control tells the outside: events, rates, metrics, history.  Look here for a figure or an event."""
