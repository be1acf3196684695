"""Installs a worker on a host: unit, user, udev rules, settings.  Look here for ``icefarm host install``."""
