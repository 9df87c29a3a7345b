"""Whose account, who may do what, and what happened: accounts, roles, operations, sync targets."""
