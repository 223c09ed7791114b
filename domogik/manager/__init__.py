"""Office: one method for each thing a person can ask."""
