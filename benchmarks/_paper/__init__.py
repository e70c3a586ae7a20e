"""What paper_tables.py is made of."""
