"""A small convolutional network in NumPy, and what Zooniverse's scripts need around one.

It is copied to the nodes beside the scripts, so it imports nothing but NumPy, Pillow and itself.
"""
