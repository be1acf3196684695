"""Control's parts put together, and run as a process.  Look here for which part calls or hears which."""
