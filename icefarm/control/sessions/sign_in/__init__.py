"""Who may sign in, and as whom: tokens, and the keys of a lab's issuer.  Look here for a refused sign-in."""
