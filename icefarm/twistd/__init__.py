"""What the twistd plugins of control and worker share: options and exit codes.  Look here for a new option."""
