"""Sign-in at a lab's own issuer (OpenID Connect), for control and clients.  Look here for an issuer's tokens."""
