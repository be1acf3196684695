"""Checks a host: what boards and a worker without root need.  Look here for a new check of ``icefarm doctor``."""
