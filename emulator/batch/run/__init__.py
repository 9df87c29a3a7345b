"""What makes an emulated node do real work: folders, environment, processes, containers, files in and out."""
