"""What control stores: the interface, the PostgreSQL behind it, migrations.  Look here for a table or a transaction."""
