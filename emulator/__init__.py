"""A local Azure: Batch, a container registry, Entra tokens and blobs, over HTTPS on loopback.

It stands alone and imports nothing of the product. State lives in one SQLite file beside plain folders, so that
it outlives a restart and a SIGKILL.
"""
