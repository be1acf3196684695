"""Child processes of a farm: started, watched, restarted, stopped.  Look here for supervision."""
