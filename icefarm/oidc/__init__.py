"""Signing in at a lab's own issuer (OpenID Connect): what control and clients share."""
