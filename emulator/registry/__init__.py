"""A container registry as Azure serves it: Docker's own protocol, Azure's properties, tokens of both kinds."""
