"""What is read back from Azure by itself: the kinds of sync targets of pools and catalogue."""

POOLS, NODES, REGISTRY, VM_IMAGES = "pools", "nodes", "registry", "vm_images"
