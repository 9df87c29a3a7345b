"""Blob storage: one account whose containers are plain folders that nodes can mount."""
