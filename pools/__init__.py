"""Pools, their nodes, and the catalogue they are chosen from."""
