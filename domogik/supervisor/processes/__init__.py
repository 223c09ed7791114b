"""Processes: started, told apart, adopted, and ended with all that belong to them."""
