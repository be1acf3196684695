"""Guards the router's public port: it bounds what a connection may cost before and after its sign-in.

Crossbar.io listens with any endpoint that Twisted can name (a transport's endpoint of type ``twisted``).  This one
accepts connections as usual, and looks at each chunk that arrives before the router does:

- A connection that is neither signed in nor waits for the answer to a request for `Limits.sign_in` seconds is closed.
  Until it is signed in, it may send `Limits.unsigned` bytes, or one HTTP request of `Limits.request` bytes.
- An address (of IPv6: a network of 64 bits) has at most `Limits.connections` connections, `Limits.pending` of them not
  signed in: a further one ends the oldest of these.
- An account has a share of the router's time, and so has an address before sign-in.  While it is used up, and others
  want some too, the router does not read from these connections.  A worker takes what it needs.
- Many people may share one address.  Sessions that sign in, requests over HTTP and connections that have said nothing
  take turns there.  A token that has signed somebody in goes through at once; others have a share of their own for
  sign-ins, in which tokens take turns, so that one that is refused again and again holds up nobody but itself.  A
  connection that shows a second token is closed.
- A session that has been ended is not listened to, and its connection is closed if it stays.
- A client with `Limits.unanswered` calls is not read from until one is answered.
- A client that does not read its answers is not read from either, and is closed if it goes on or if too many wait.
- What the router remembers of permissions, by URI, is forgotten when it grows.
- A request over HTTP has an address in ASCII, and names the host that it is for, once and in ASCII: the router logs a
  traceback for another.  The first line of a connection reaches it whole.
- TLS offers HTTP/1.1 alone (ALPN): the router's HTTP/2 lets bytes through that no header may have.

Behind a proxy that the operator has named, the address is that which the proxy says (`proxied`).

It adds no hop: it runs in the router's process, and answers go to the socket without it.

`connection` has what is done with each chunk, `factory` what connections have in common.  There is no icefarm in the
router's environment: these modules import each other by names relative to this package, and nothing else of icefarm.
"""
