"""Galaxies of the Hubble Deep Field, cut out and measured: `python -m examples.catalogue --help`."""
