"""What a host with boards gets from icefarm: unit, user, udev rules, configuration; and how it is undone."""
