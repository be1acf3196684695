"""The worker: finds boards, flashes, tests and repairs them, and evaluates.  Look here for a host with boards."""
