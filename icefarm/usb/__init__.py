"""Boards as USB shows them: events, boot drives.  Look here for what real and virtual boards share."""
