"""The bus over WAMP: Autobahn sessions at a Crossbar.io router.  Look here for anything about the router's protocol.

Nothing else in icefarm imports Autobahn.  What this package must know of Autobahn and Crossbar: RawSocket has no ping
(a dead peer shows only when the application asks); a callee that vanishes gives its caller ``wamp.error.canceled``;
requests that are pending when a session ends fail with the session's closing reason.
"""
