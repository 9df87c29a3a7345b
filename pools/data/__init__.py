"""Data that the project carries: read by migrations."""
