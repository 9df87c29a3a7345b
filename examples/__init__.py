"""What the demo computes: a catalogue of measured galaxies, a small network, and the scripts that run on nodes."""
