"""The gate: findings with reasons, the decision made of them, overrides of it, and the records of all that."""
