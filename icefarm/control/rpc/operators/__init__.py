"""The procedures for operators and teachers.  Look here for what acts on the boards and accounts of others."""
