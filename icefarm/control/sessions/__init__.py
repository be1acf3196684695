"""Who is signed in and alive: authentication, tokens, heartbeats.  Look here for identity and liveness."""
