"""COPY: batches of workers into PostgreSQL (`storing`), and files of results out of it (`extracts`)."""
