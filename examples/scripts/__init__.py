"""The scripts that run on nodes, under Zooniverse's names and with their arguments."""
