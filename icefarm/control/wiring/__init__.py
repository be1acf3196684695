"""Control's parts put together, and run as a process.  Look here for who is connected to what."""
