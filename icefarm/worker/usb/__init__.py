"""Boards on the USB bus of this host.  Look here when a plugged board is not seen."""
