"""The host that boards are plugged into: what it needs so that a worker without root can drive them."""
